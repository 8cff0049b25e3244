/* The compiled side without Python, for sanitizers: every thread that there is, at once.
 *
 * A server's thread calls as a server does, with other periods now and then, drop-outs and bounces;
 * engines work; one thread notifies; the main one does all that a session does: it lets links come,
 * takes some of them back, frees what plays no more, sets everything and reads everything.
 */

#define _GNU_SOURCE
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <stdint.h>

#include "rt.h"
#include "ring.h" /* for its includes */

#define RATE 48000
#define INPUTS 2
#define OUTPUTS 4
#define LINKS 30
#define LONGEST 8192

typedef int process_f(uint32_t, void *);
typedef int xrun_f(void *);
typedef void freewheel_f(int, void *);
typedef void latency_f(int, void *);
typedef void registration_f(uint32_t, int, void *);
typedef void connection_f(uint32_t, uint32_t, int, void *);

static float buffers[INPUTS + OUTPUTS + 2][LONGEST];
static uint32_t frame_time;
static rt_t *rt;
static atomic_int ended;
static _Atomic uint64_t finite_cycles;
static uint64_t taped_frames, lights;

static void *get_buffer(void *port, uint32_t nframes)
{
    (void)nframes;
    return port;
}

static uint32_t last_frame_time(const void *client)
{
    (void)client;
    return frame_time;
}

static uint64_t get_time(void)
{
    return 0;
}

static void get_latency(void *port, int mode, uint32_t *range)
{
    (void)port, (void)mode;
    range[0] = range[1] = 0;
}

static void set_latency(void *port, int mode, uint32_t *range)
{
    (void)port, (void)mode, (void)range;
}

static uint32_t midi_count(void *buffer)
{
    (void)buffer;
    return 2;
}

static int midi_get(void *to, void *buffer, uint32_t index)
{
    static unsigned char message[3] = {0xB0, 7, 64};
    struct {
        uint32_t time;
        size_t size;
        unsigned char *data;
    } *event = to;
    (void)buffer;
    event->time = index;
    event->size = 3;
    event->data = message;
    return 0;
}

static void midi_clear(void *buffer)
{
    *(uint32_t *)buffer = 0;
}

static int midi_write(void *buffer, uint32_t time, const unsigned char *data, size_t size)
{
    uint32_t *count = buffer;
    if (*count == 3 || time || size != 3 || data[0] != 0x90)
        return -1;
    ++*count;
    lights++;
    return 0;
}

static void nap(long us)
{
    nanosleep(&(struct timespec){0, us * 1000}, NULL);
}

static void *serve(void *arg)
{
    static const uint32_t periods[] = {64, 1, 256, 509, 1000, LONGEST};
    process_f *process = (process_f *)rt_callback(RT_ON_PROCESS);
    freewheel_f *freewheel = (freewheel_f *)rt_callback(RT_ON_FREEWHEEL);
    (void)arg;
    for (uint32_t n = 0; !ended; n++) {
        uint32_t nframes = periods[n / 100 % 6];
        for (uint32_t c = 0; c < INPUTS; c++)
            for (uint32_t i = 0; i < nframes; i++)
                buffers[c][i] = n % 50 || i ? sinf((float)(frame_time + i) * 0.05f) : NAN;
        for (uint32_t c = INPUTS; c < INPUTS + OUTPUTS; c++)
            for (uint32_t i = 0; i < nframes; i++)
                buffers[c][i] = NAN;
        if (n % 400 == 0)
            freewheel(n / 400 % 2, rt);
        process(nframes, rt);
        int finite = 1;
        for (uint32_t i = 0; i < nframes; i++)
            finite = finite && isfinite(buffers[INPUTS][i]);
        finite_cycles += (uint64_t)finite;
        frame_time += nframes * (n % 70 ? 1 : 2);
        nap(100);
    }
    return NULL;
}

static void *notify(void *arg)
{
    xrun_f *xrun = (xrun_f *)rt_callback(RT_ON_XRUN);
    latency_f *latency = (latency_f *)rt_callback(RT_ON_LATENCY);
    registration_f *registration = (registration_f *)rt_callback(RT_ON_PORT_REGISTRATION);
    connection_f *connection = (connection_f *)rt_callback(RT_ON_PORT_CONNECT);
    (void)arg;
    for (uint32_t n = 0; !ended; n++) {
        xrun(rt);
        latency((int)n % 2, rt);
        registration(n, (int)n % 2, rt);
        connection(n, n + 1, (int)n % 2, rt);
        nap(700);
    }
    return NULL;
}

/* Record for a while, again and again, and read what is taped. */
static void *record(void *arg)
{
    static float block[INPUTS + 2][4096];
    static const uint8_t slots[] = {1, 3};
    (void)arg;
    for (int n = 0; !ended; n++) {
        rt_tape_t *tape = rt_tape_new(INPUTS, 2, slots, 1 << 17, n % 2);
        if (!tape)
            abort();
        rt_set_tape(rt, tape);
        for (uint32_t frames = 0; frames < 1 << 17 && !ended; nap(500))
            for (uint32_t read; (read = rt_tape_read(tape, block[0], 4096, 4096)); frames += read)
                taped_frames += read;
        rt_set_tape(rt, NULL);
        while (!rt_let_cycle_end(rt))
            ;
        rt_tape_lost(tape);
        rt_tape_free(tape);
    }
    return NULL;
}

typedef struct {
    rt_link_t *link;
    pthread_t thread;
    atomic_int ended;
} engine_t;

static void *work(void *arg)
{
    engine_t *engine = arg;
    static _Thread_local float block[OUTPUTS][4096];
    while (!engine->ended) {
        rt_link_wait(engine->link, 10);
        for (uint32_t n; !engine->ended && (n = rt_link_read(engine->link, block[0], 4096, 4096));) {
            memcpy(block[INPUTS], block[0], sizeof block[0]);
            block[3][0] = INFINITY;
            rt_link_write(engine->link, block[0], 4096, n);
        }
    }
    return NULL;
}

static engine_t *start(void)
{
    static const uint8_t slots[] = {0, 1, 2, 3};
    const rt_link_sizes_t sizes = {
        .in_capacity = 1 << 17,
        .out_capacity = 1 << 15,
        .prefill = LONGEST + 480,
        .delay = LONGEST + 480,
        .fade = 480,
        .reserve = 120,
        .quantum = 256,
    };
    engine_t *engine = calloc(1, sizeof *engine);
    engine->link = rt_link_new(INPUTS, OUTPUTS, slots, &sizes);
    if (!engine->link)
        abort();
    pthread_create(&engine->thread, NULL, work, engine);
    return engine;
}

static void end(engine_t *engine)
{
    while (rt_holds(rt, engine->link))
        nap(500);
    engine->ended = 1;
    rt_link_release(engine->link);
    pthread_join(engine->thread, NULL);
    rt_link_free(engine->link);
    free(engine);
}

static void use_everything(uint32_t n, engine_t *engine)
{
    rt_counters_t counters;
    rt_link_counters_t link_counters;
    uint8_t message[3], light[3] = {0x90, 36, (uint8_t)(n % 128)};
    rt_counters(rt, &counters);
    rt_link_counters(engine->link, &link_counters);
    for (uint32_t c = 0; c < OUTPUTS; c++) {
        rt_set_gain(rt, c, (float)(n % 3) / 2);
        rt_out_peak(rt, c);
    }
    for (uint32_t c = 0; c < INPUTS; c++)
        rt_in_peak(rt, c);
    rt_link_set_dry(engine->link, n % 2 ? RT_DRY_BYPASS : RT_DRY_OVERLOAD, n % 4 < 2);
    rt_set_out_port(rt, 3, n % 5 ? (uintptr_t)buffers[INPUTS + 3] : 0);
    if (n % 5 == 0)
        rt_let_cycle_end(rt);
    rt_port_notice_t notice;
    while (rt_read_midi(rt, message))
        ;
    while (rt_send_midi(rt, light) && light[1]++ < 40)
        ;
    while (rt_read_port(rt, &notice) > 0)
        ;
    rt_is_freewheeling(rt);
    rt_delay(rt);
    rt_answer_latency(rt);
    rt_wake(rt);
    rt_wait_events(rt, 5);
}

int main(void)
{
    pthread_t server, notifier, recorder;
    rt = rt_new(INPUTS, OUTPUTS, 48000, 960);
    rt_server_t calls = {
        .port_get_buffer = (uintptr_t)get_buffer,
        .port_get_latency_range = (uintptr_t)get_latency,
        .port_set_latency_range = (uintptr_t)set_latency,
        .last_frame_time = (uintptr_t)last_frame_time,
        .get_time = (uintptr_t)get_time,
        .in_ports = {(uintptr_t)buffers[0], (uintptr_t)buffers[1]},
    };
    rt_bind(rt, &calls);
    rt_bind_midi(rt, (uintptr_t)buffers[INPUTS + OUTPUTS], (uintptr_t)midi_count,
                 (uintptr_t)midi_get);
    rt_bind_midi_out(rt, (uintptr_t)buffers[INPUTS + OUTPUTS + 1], (uintptr_t)midi_clear,
                     (uintptr_t)midi_write);
    for (uint32_t c = 0; c < OUTPUTS; c++)
        rt_set_out_port(rt, c, (uintptr_t)buffers[INPUTS + c]);
    engine_t *playing = start();
    rt_attach(rt, playing->link);
    pthread_create(&server, NULL, serve, NULL);
    pthread_create(&notifier, NULL, notify, NULL);
    pthread_create(&recorder, NULL, record, NULL);
    uint32_t withdrawn = 0;
    for (uint32_t n = 0; n < LINKS; n++) {
        engine_t *coming = start();
        rt_link_hold(coming->link, 1);
        while (!rt_attach(rt, coming->link))
            use_everything(n, playing);
        for (uint32_t i = 0; i < n; i++)
            use_everything(n + i, coming);
        rt_link_hold(coming->link, 0);
        int is_back = n % 3 == 0 && rt_withdraw(rt, coming->link);
        withdrawn += (uint32_t)is_back;
        end(is_back ? coming : playing);
        playing = is_back ? playing : coming;
    }
    ended = 1;
    pthread_join(server, NULL);
    pthread_join(notifier, NULL);
    pthread_join(recorder, NULL);
    rt_counters_t counters;
    rt_counters(rt, &counters);
    printf("%u cycles, %u xruns, %u links withdrawn, %u frames taped\n", (unsigned)counters.periods,
           (unsigned)counters.xruns, withdrawn, (unsigned)taped_frames);
    if (finite_cycles != counters.periods || !withdrawn || !counters.bad_outputs || !taped_frames ||
        !lights)
        return 3;
    rt_detach(rt);
    end(playing);
    rt_free(rt);
    return 0;
}
