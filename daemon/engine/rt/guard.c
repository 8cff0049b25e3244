/* Threads that rtkit made real-time may not run for long without waiting: RLIMIT_RTTIME. At the
 * soft limit the kernel sends SIGXCPU, at the hard one it kills the process. */
#define _GNU_SOURCE /* sched_setscheduler, SCHED_RESET_ON_FORK */
#include <stdint.h>

#include "rt.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>

#define MAX_THREADS 64

static _Atomic int32_t threads[MAX_THREADS];
static _Atomic uint64_t soft_us;
static _Atomic uint32_t overruns;

/* In a signal handler. The signal does not say whose fault it was, so all become normal. */
static void make_normal(int number)
{
    (void)number;
    int error = errno;
    struct sched_param param = {0};
    for (int i = 0; i < MAX_THREADS; i++) {
        int32_t thread = atomic_exchange(&threads[i], 0);
        if (thread)
            sched_setscheduler(thread, SCHED_OTHER | SCHED_RESET_ON_FORK, &param);
    }
    /* The kernel has put the soft limit up by a second, beyond the hard one. */
    rt_guard_limit(soft_us);
    overruns++;
    errno = error;
}

int rt_guard_limit(uint64_t us)
{
    struct rlimit limit;
    soft_us = us;
    if (getrlimit(RLIMIT_RTTIME, &limit))
        return 0;
    if (limit.rlim_cur == us)
        return 1;
    limit.rlim_cur = us;
    return !setrlimit(RLIMIT_RTTIME, &limit);
}

int rt_guard(uint64_t us, uint64_t hard_us)
{
    struct sigaction before, now = {.sa_handler = make_normal, .sa_flags = SA_RESTART};
    struct rlimit limit;
    if (sigaction(SIGXCPU, NULL, &before) || getrlimit(RLIMIT_RTTIME, &limit))
        return 0;
    if (before.sa_handler != SIG_DFL && before.sa_handler != make_normal)
        return 0;
    sigemptyset(&now.sa_mask);
    if (sigaction(SIGXCPU, &now, NULL))
        return 0;
    soft_us = us;
    limit.rlim_max = limit.rlim_max < hard_us ? limit.rlim_max : hard_us;
    limit.rlim_cur = us < limit.rlim_max ? us : limit.rlim_max;
    return !setrlimit(RLIMIT_RTTIME, &limit);
}

int rt_guard_thread(int32_t thread)
{
    for (int i = 0; i < MAX_THREADS; i++)
        if (threads[i] == thread)
            return 1;
    for (int i = 0; i < MAX_THREADS; i++) {
        int32_t none = 0;
        if (atomic_compare_exchange_strong(&threads[i], &none, thread))
            return 1;
    }
    return 0;
}

void rt_guard_forget(int32_t thread)
{
    for (int i = 0; i < MAX_THREADS; i++) {
        int32_t known = thread;
        atomic_compare_exchange_strong(&threads[i], &known, 0);
    }
}

uint32_t rt_guard_overruns(void)
{
    return overruns;
}
