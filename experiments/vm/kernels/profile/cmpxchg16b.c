// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Process 1 of a guest: what cmpxchg16b does to the flags. It may change ZF only. The operands of the addition before it are NT and
 * ID, which QEMU 7.2 takes for flags of the processor.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/reboot.h>
#include <unistd.h>

#define NT_AND_ID 0x204000UL

int main(void)
{
	static unsigned long pair[2] __attribute__((aligned(16)));
	unsigned long flags, operand = NT_AND_ID;
	int console = open("/dev/console", O_RDWR);

	if (console >= 0)
		dup2(console, 1);
	/* The jump ends a block of the emulator: what it knows of the flags by then is written down. */
	__asm__ volatile("xor %%eax, %%eax; xor %%edx, %%edx; xor %%ebx, %%ebx; xor %%ecx, %%ecx\n"
			 "push $0x246; popf; jmp 1f\n"
			 "1: mov $1, %%r9d; add %2, %%r9\n"
			 "cmpxchg16b %1\n"
			 "pushf; pop %0\n"
			 : "=&r"(flags), "+m"(pair)
			 : "r"(operand)
			 : "rax", "rbx", "rcx", "rdx", "r9", "cc", "memory");
	printf("flags after cmpxchg16b: %#lx, %s\n", flags, flags & NT_AND_ID ? "wrong" : "right");
	fflush(stdout);
	return reboot(RB_AUTOBOOT);
}
