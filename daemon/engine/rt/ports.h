/* What the server reports of ports, from its notification thread to the thread that reads it; see
 * rt.h, which comes before this, for what others call. */

#pragma once

#include <stdint.h>
#include <time.h>

#include "ring.h"

/* Notices that wait to be read; what comes while they are so many is lost. */
#define PORT_NOTICES 1024

typedef struct {
    rt_port_notice_t notices[PORT_NOTICES];
    counter_t written, read;
    atomic_int are_lost;
} ports_t;

/* The notifications' thread: keep a notice. */
static inline void ports_note(ports_t *ports, uint32_t port, uint32_t other, int is_there)
{
    struct timespec now;
    uint64_t written = get(&ports->written);
    if (written - get(&ports->read) >= PORT_NOTICES) { /* the oldest may be being read */
        ports->are_lost = 1;
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    ports->notices[written % PORT_NOTICES] = (rt_port_notice_t){
        (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec, port, other, is_there != 0};
    set(&ports->written, written + 1);
}

/* Another thread: fetch the oldest notice; 0 when there is none, -1 when some were lost, and all are. */
static inline int ports_read(ports_t *ports, rt_port_notice_t *notice)
{
    uint64_t read = get(&ports->read), written = get(&ports->written);
    if (atomic_exchange(&ports->are_lost, 0)) {
        set(&ports->read, written);
        return -1;
    }
    if (read == written)
        return 0;
    *notice = ports->notices[read % PORT_NOTICES];
    set(&ports->read, read + 1);
    return 1;
}
