/* What may run on the server's real-time thread: nothing that waits, allocates, locks or logs.
 *
 * Clang (20 and later) checks it: a NONBLOCKING function may call only such ones
 * (-Wfunction-effects), and with -fsanitize=realtime what is called all the same aborts the program.
 * Other compilers see nothing of it.
 */

#pragma once

#if defined(__clang__) && __has_attribute(nonblocking)

#include <sched.h>
#include <semaphore.h>
#include <time.h>

#define NONBLOCKING __attribute__((nonblocking))

/* What the C library has that never waits, and does not say so. */
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wfunction-effect-redeclarations"
int sem_post(sem_t *) NONBLOCKING; /* wakes who waits, by one system call at most */
int clock_gettime(clockid_t, struct timespec *) NONBLOCKING; /* no system call, on Linux */
int sched_getscheduler(pid_t) NONBLOCKING; /* a short system call, every 100 ms */
int sched_getparam(pid_t, struct sched_param *) NONBLOCKING;
#pragma clang diagnostic pop

/* Not in real time, and why stands beside it. */
#define BLOCKING(statement)                                                                        \
    _Pragma("clang diagnostic push") _Pragma("clang diagnostic ignored \"-Wfunction-effects\"")    \
    RTSAN_DISABLE statement RTSAN_ENABLE _Pragma("clang diagnostic pop")

#if __has_feature(realtime_sanitizer)
void __rtsan_disable(void); /* of sanitizer/rtsan_interface.h, which need not be installed */
void __rtsan_enable(void);
#define RTSAN_DISABLE __rtsan_disable();
#define RTSAN_ENABLE __rtsan_enable();
#else
#define RTSAN_DISABLE
#define RTSAN_ENABLE
#endif

#else

#define NONBLOCKING
#define BLOCKING(statement) statement

#endif
