/* What the server says of ports, from the thread of its notifications to whoever reads it; see
 * rt.h, which comes before this, for what others call. */

#pragma once

#include <stdint.h>
#include <time.h>

#include "ring.h"

/* Notices that wait to be read; the oldest of more are overwritten. */
#define PORT_NOTICES 1024

typedef struct {
    rt_port_notice_t notices[PORT_NOTICES];
    counter_t written, read;
} ports_t;

/* The notifications' thread: keep a notice. */
static inline void ports_note(ports_t *ports, uint32_t port, uint32_t other, int is_there)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t written = get(&ports->written);
    ports->notices[written % PORT_NOTICES] = (rt_port_notice_t){
        (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec, port, other, is_there != 0};
    set(&ports->written, written + 1);
}

/* Another thread: fetch the oldest notice; 0 when there is none, -1 when some were overwritten. */
static inline int ports_read(ports_t *ports, rt_port_notice_t *notice)
{
    uint64_t read = get(&ports->read), written = get(&ports->written);
    if (read == written)
        return 0;
    if (written - read < PORT_NOTICES) {
        *notice = ports->notices[read % PORT_NOTICES];
        set(&ports->read, read + 1);
        return 1;
    }
    set(&ports->read, written);
    return -1;
}
