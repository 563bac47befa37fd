# awk -v per=FUNCTION -f functions.awk SYMBOLS BLOCKS BLOCKS_OF_A_BOOT
# Instructions and calls of each function of the kernel for one call of the function `per`, without those of a boot alone; the
# largest first. A block belongs to the last function that begins at or before it. Symbols must be sorted by address.
FILENAME == ARGV[1] {
    address = $1
    if (address == last) next
    starts[++count] = last = address
    name[count] = $3
    next
}
{
    # Addresses are 16 digits in the kernel, fewer in user space, so they are compared as text.
    if (length($1) < 16) { place = 0 } else {
        low = 1; high = count
        while (low < high) { middle = int((low + high + 1) / 2); if (starts[middle] <= $1) low = middle; else high = middle - 1 }
        place = low
    }
    function_name = place ? name[place] : "(user)"
    sign = FILENAME == ARGV[2] ? 1 : -1
    instructions[function_name] += sign * $2 * $3
    # Where functions are traced, the first block ends at the call of the tracer.
    if (place && starts[place] == $1) calls[function_name] += sign * $3
}
END {
    for (each in instructions)
        if (instructions[each] / calls[per] >= 0.05)
            printf "%10.1f %8.2f %s\n", instructions[each] / calls[per], calls[each] / calls[per], each | "sort -rn"
}
