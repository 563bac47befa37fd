//! Errors as callers see them: with `?`, as `io::Error`, and printed with their chain of causes.
#![forbid(unsafe_code)]

use c10k_event::{
    DeclareError, Declined, Interest, InterestSet, Mechanism, OpenError, Options, RingSetup, Trigger, Unavailable,
    UnknownMechanism, Unsupported, WaitError, WakerError, WithdrawError, WrongContext,
};
use rustix::io::Errno;
use std::{error::Error, io, net::UdpSocket};

const SYSTEM: DeclareError = DeclareError::System {
    call: "epoll_ctl",
    errno: Errno::NOSPC,
};

/// A trigger that `select` does not offer.
fn declare_with_io<S: std::os::fd::AsFd>(source: S) -> io::Result<()> {
    let mut set = InterestSet::open(Mechanism::named("select")?)?;
    set.declare(source, Interest::READABLE, Trigger::Edge)?;
    Ok(())
}

fn declare_with_box(source: UdpSocket) -> Result<(), Box<dyn Error>> {
    let mut set = InterestSet::open(Mechanism::named("select")?)?;
    set.declare(source, Interest::READABLE, Trigger::Edge)?;
    Ok(())
}

#[test]
fn a_declined_source_works_with_the_question_mark() {
    let socket = || UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let borrowed = socket();
    for error in [declare_with_io(socket()), declare_with_io(&borrowed)].map(Result::unwrap_err) {
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<DeclareError>());
        let what = Unsupported::Trigger(Trigger::Edge);
        assert_eq!(
            inner,
            Some(&DeclareError::Unsupported {
                mechanism: "select",
                what
            })
        );
    }
    let error = declare_with_box(socket()).unwrap_err();
    assert!(error.is::<Declined<UdpSocket>>(), "{error}");
    assert!(error.to_string().starts_with("declaring a source: select: "), "{error}");
}

#[test]
fn an_io_error_has_the_kind_of_the_kernels_error_and_contains_the_original() {
    let kind = |errno: Errno| io::Error::from(errno).kind();
    let error = io::Error::from(SYSTEM);
    assert_eq!(error.kind(), kind(Errno::NOSPC));
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<DeclareError>());
    assert_eq!(inner.and_then(DeclareError::errno), Some(Errno::NOSPC));
    assert_eq!(error.to_string(), SYSTEM.to_string());

    let wait = WaitError::System {
        call: "ppoll",
        errno: Errno::INVAL,
    };
    assert_eq!(io::Error::from(wait).kind(), kind(Errno::INVAL));
    let open = OpenError::System {
        mechanism: "poll",
        call: "epoll_create1",
        errno: Errno::NOMEM,
    };
    assert_eq!(io::Error::from(open).kind(), kind(Errno::NOMEM));
    assert_eq!(io::Error::from(WakerError::Wake(Errno::BADF)).kind(), kind(Errno::BADF));
    assert_eq!(
        io::Error::from(WaitError::WrongContext(WrongContext::Process)).kind(),
        io::ErrorKind::PermissionDenied
    );
    let unknown = Mechanism::named("kqueue").unwrap_err();
    assert_eq!(io::Error::from(unknown).kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn no_error_in_a_chain_repeats_its_cause() {
    let refused = || Unavailable::Refused {
        call: "bpf",
        errno: Errno::PERM,
        remedy: "be root".to_owned(),
    };
    let errors: Vec<Box<dyn Error>> = vec![
        Box::new(UnknownMechanism {
            name: "kqueue".to_owned(),
        }),
        Box::new(refused()),
        Box::new(Unavailable::FeatureMissing { feature: "bpf" }),
        Box::new(OpenError::Unavailable {
            mechanism: "signal-per-fd",
            reason: refused(),
        }),
        Box::new(SYSTEM),
        Box::new(DeclareError::WrongContext(WrongContext::Thread)),
        Box::new(Declined {
            source: (),
            error: SYSTEM,
        }),
        Box::new(WithdrawError::StillWatched {
            source: (),
            error: SYSTEM,
        }),
        Box::new(WaitError::WrongContext(WrongContext::Process)),
        Box::new(WakerError::Open(SYSTEM)),
        Box::new(io::Error::from(SYSTEM)),
    ];
    for error in errors {
        let own = error.to_string();
        assert!(!own.contains('\n'), "{own}");
        let mut cause = error.source();
        while let Some(next) = cause {
            assert!(!own.contains(&next.to_string()), "{own}: repeats {next}");
            cause = next.source();
        }
    }
}

#[test]
fn only_a_mechanism_with_a_ring_takes_the_setup_of_one() {
    let mut options = Options::default();
    options.ring = Some(RingSetup::default());
    for mechanism in Mechanism::all().filter(|mechanism| !mechanism.descriptor().ring) {
        let refused = InterestSet::<UdpSocket>::open_with(mechanism, &options).expect_err("it has no ring");
        let OpenError::UnsupportedOption {
            mechanism: name,
            option,
        } = refused
        else {
            panic!("{mechanism}: {refused}")
        };
        assert_eq!((name, option), (mechanism.name(), "the setup of a ring"));
    }
}
