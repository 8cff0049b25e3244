/* Preloaded: shows a process an x86 processor with fewer instructions, at full speed.
 *
 * The kernel makes CPUID raise SIGSEGV (arch_prctl(2), ARCH_CPUID), the handler executes it and
 * clears what the wanted processor does not have. /proc/cpuinfo loses the same flags. Programs
 * that look for instructions in one of these two ways then use others; nothing else changes. The
 * setting holds for all threads, and for programs that this one starts, if they are linked
 * dynamically. LESSER_CPU names the processor; benchmarks/lesser_cpu.py sets it. */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <cpuid.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { EAX, EBX, ECX, EDX };

struct hidden {
    unsigned leaf, subleaf, reg, bits;
    const char *flags[9]; /* as /proc/cpuinfo writes them */
};

static const struct hidden AMX[] = {
    {7, 0, EDX, 1u << 22 | 1u << 24 | 1u << 25, {"amx_bf16", "amx_tile", "amx_int8"}},
    {7, 1, EAX, 1u << 21, {"amx_fp16"}},
    {7, 1, EDX, 1u << 8, {"amx_complex"}},
    {0}};
static const struct hidden AVX512[] = {
    {7, 0, EBX, 1u << 16 | 1u << 17 | 1u << 21 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 30 | 1u << 31,
     {"avx512f", "avx512dq", "avx512ifma", "avx512pf", "avx512er", "avx512cd", "avx512bw", "avx512vl"}},
    {7, 0, ECX, 1u << 1 | 1u << 6 | 1u << 12 | 1u << 14,
     {"avx512vbmi", "avx512_vbmi2", "avx512_bitalg", "avx512_vpopcntdq"}},
    {0}};
static const struct hidden AVX512_VNNI[] = {{7, 0, ECX, 1u << 11, {"avx512_vnni"}}, {0}};
static const struct hidden AVX512_LATER[] = {
    {7, 0, EDX, 1u << 8 | 1u << 23, {"avx512_vp2intersect", "avx512_fp16"}},
    {7, 1, EAX, 1u << 5, {"avx512_bf16"}},
    {7, 1, EDX, 1u << 19, {"avx10"}},
    {0}};
static const struct hidden AVX_VNNI[] = {
    {7, 1, EAX, 1u << 4 | 1u << 23, {"avx_vnni", "avx_ifma"}},
    {7, 1, EDX, 1u << 4 | 1u << 5 | 1u << 10, {"avx_vnni_int8", "avx_ne_convert", "avx_vnni_int16"}},
    {0}};
static const struct hidden AVX[] = {
    {1, 0, ECX, 1u << 12 | 1u << 28 | 1u << 29, {"fma", "avx", "f16c"}},
    {7, 0, EBX, 1u << 5, {"avx2"}},
    {7, 0, ECX, 1u << 9 | 1u << 10, {"vaes", "vpclmulqdq"}},
    {0}};

static const struct processor {
    const char *name;
    const struct hidden *without[7];
} PROCESSORS[] = {
    {"all", {NULL}},
    {"avx512-vnni", {AMX, AVX512_LATER, AVX_VNNI}},
    {"avx512", {AMX, AVX512_LATER, AVX_VNNI, AVX512_VNNI}},
    {"avx-vnni", {AMX, AVX512_LATER, AVX512_VNNI, AVX512}},
    {"avx2", {AMX, AVX512_LATER, AVX512_VNNI, AVX512, AVX_VNNI}},
    {"sse4", {AMX, AVX512_LATER, AVX512_VNNI, AVX512, AVX_VNNI, AVX}},
};

static const struct hidden *const *without;

static void on_fault(int number, siginfo_t *info, void *context) {
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    const unsigned char *code = (const unsigned char *)regs[REG_RIP];
    unsigned leaf = regs[REG_RAX], subleaf = regs[REG_RCX], out[4];
    (void)info;
    if (code[0] != 0x0f || code[1] != 0xa2) { /* not CPUID: a true fault, which comes again */
        signal(number, SIG_DFL);
        return;
    }
    syscall(SYS_arch_prctl, ARCH_SET_CPUID, 1);
    __cpuid_count(leaf, subleaf, out[EAX], out[EBX], out[ECX], out[EDX]);
    syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0);
    for (const struct hidden *const *set = without; *set; set++)
        for (const struct hidden *each = *set; each->leaf; each++)
            if (each->leaf == leaf && (leaf != 7 || each->subleaf == subleaf))
                out[each->reg] &= ~each->bits;
    regs[REG_RAX] = out[EAX];
    regs[REG_RBX] = out[EBX];
    regs[REG_RCX] = out[ECX];
    regs[REG_RDX] = out[EDX];
    regs[REG_RIP] += 2;
}

static void fail(const char *what) {
    fprintf(stderr, "lesser_cpu: %s\n", what);
    exit(1);
}

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("LESSER_CPU");
    for (size_t n = 0; name && n < sizeof PROCESSORS / sizeof *PROCESSORS; n++)
        if (!strcmp(PROCESSORS[n].name, name))
            without = PROCESSORS[n].without;
    if (!without)
        fail("LESSER_CPU names none of all, avx512-vnni, avx512, avx-vnni, avx2, sse4");
    if (!*without)
        return;
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGSEGV, &action, NULL);
    if (syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0))
        fail("this processor or kernel cannot hide CPUID (flag cpuid_fault of /proc/cpuinfo)");
}

static void blank(char *line, const char *flag) {
    size_t length = strlen(flag);
    for (char *at = line; (at = strstr(at, flag)); at += length)
        if (at > line && at[-1] == ' ' && strchr(" \n", at[length]))
            memset(at, ' ', length);
}

/* Return a file with the content of /proc/cpuinfo, without the flags that are hidden. */
static int lesser_cpuinfo(int real) {
    int made = memfd_create("cpuinfo", MFD_CLOEXEC);
    FILE *in = fdopen(real, "r");
    char *line = NULL;
    size_t room = 0;
    while (in && getline(&line, &room, in) > 0) {
        for (const struct hidden *const *set = without; *set; set++)
            for (const struct hidden *each = *set; each->leaf; each++)
                for (const char *const *flag = each->flags; *flag; flag++)
                    blank(line, *flag);
        dprintf(made, "%s", line);
    }
    free(line);
    if (in)
        fclose(in);
    lseek(made, 0, SEEK_SET);
    return made;
}

#define OPEN(NAME)                                                                      \
    int NAME(const char *path, int flags, ...) {                                        \
        int (*really)(const char *, int, ...) = dlsym(RTLD_NEXT, #NAME);                \
        va_list rest;                                                                   \
        va_start(rest, flags);                                                          \
        mode_t mode = va_arg(rest, int); /* not given: not used */                      \
        va_end(rest);                                                                   \
        int file = really(path, flags, mode);                                           \
        int is_ours = without && *without && !strcmp(path, "/proc/cpuinfo");            \
        return is_ours && file >= 0 ? lesser_cpuinfo(file) : file;                      \
    }
OPEN(open)
OPEN(open64)
