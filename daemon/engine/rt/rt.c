#define _GNU_SOURCE /* clock_gettime, sched_getscheduler, M_PI */
#include "link.h"
#include "libjack.h"
#include "midi.h"
#include "ports.h"
#include "tape.h"

#include <float.h>
#include <math.h>
#include <sched.h>
#include <time.h>

#define CYCLE_PATIENCE_MS 500
/* A report of a drop-out and a jump of the clock that lie no further apart are one drop-out: the
 * report comes through another thread. */
#define PAIRING_US 500000
#define WAKING_S 0.002 /* that a thread may take to wake */
#define PRIORITY_NS 100000000 /* from one look at the priority to the next: rtkit gives it late */

typedef struct {
    _Atomic float wanted; /* set by any thread */
    float now, from, target;
    uint32_t frame; /* of the ramp, so far */
} gain_t;

struct rt {
    rt_server_t server;
    _Atomic uintptr_t out_ports[RT_MAX_CHANNELS];
    uint32_t inputs, outputs;
    uint32_t ramp;
    _Atomic(rt_link_t *) arriving; /* attached, and not yet seen by the server's thread */
    _Atomic(rt_link_t *) coming;   /* warms up unheard, then fades in */
    _Atomic(rt_link_t *) playing;
    _Atomic(rt_tape_t *) tape;
    counter_t delay; /* of the link that plays, else of the one that is to */
    float arrived; /* 0: what plays is heard; 1: what comes is; between: a cross-fade */
    gain_t gains[RT_MAX_CHANNELS];
    midi_t midi;
    ports_t ports;
    _Atomic float in_peaks[RT_MAX_CHANNELS], out_peaks[RT_MAX_CHANNELS];
    counter_t periods, frames, xruns, reported, jumps, bad_samples, bad_outputs, worst_ns;
    _Atomic uint32_t samplerate;
    /* Of the server's thread alone: */
    uint64_t reports_seen;
    int64_t unpaired;     /* lately: reports without a jump, or, negative, jumps without a report */
    uint64_t unpaired_us; /* when that changed last */
    uint64_t began_us;    /* when the last cycle began */
    _Atomic uint32_t period;
    _Atomic int32_t priority;
    _Atomic uint64_t turns; /* begun and ended cycles: odd within one */
    uint64_t looked_ns; /* when the priority was looked at last */
    uint32_t next_frame_time; /* where the next cycle begins if none is left out */
    atomic_int freewheeling;
    _Atomic uint32_t events;
    sem_t woken;
};

/* The mix's included, as far as there is room for it. */
static uint32_t all_outputs(const rt_t *rt)
{
    uint32_t all = rt->outputs + rt->inputs;
    return all < RT_MAX_CHANNELS ? all : RT_MAX_CHANNELS;
}

rt_t *rt_new(uint32_t inputs, uint32_t outputs, uint32_t samplerate, uint32_t ramp)
{
    rt_t *rt = inputs > RT_MAX_CHANNELS || outputs > RT_MAX_CHANNELS ? NULL : calloc(1, sizeof *rt);
    if (!rt)
        return NULL;
    rt->inputs = inputs;
    rt->outputs = outputs;
    rt->samplerate = samplerate;
    rt->ramp = ramp;
    for (uint32_t c = 0; c < all_outputs(rt); c++)
        rt->gains[c].wanted = rt->gains[c].now = rt->gains[c].target = 1;
    sem_init(&rt->woken, 0, 0);
    return rt;
}

void rt_free(rt_t *rt)
{
    if (rt)
        sem_destroy(&rt->woken);
    free(rt);
}

void rt_bind(rt_t *rt, const rt_server_t *server)
{
    rt->server = *server;
}

void rt_set_out_port(rt_t *rt, uint32_t output, uintptr_t port)
{
    if (output < all_outputs(rt))
        rt->out_ports[output] = port;
}

void rt_set_tape(rt_t *rt, rt_tape_t *tape)
{
    rt->tape = tape;
}

/* Not for ever: in a bounce a cycle may be waiting for an engine. */
int rt_let_cycle_end(rt_t *rt)
{
    const struct timespec nap = {0, 1000000};
    uint64_t turns = rt->turns;
    for (int naps = 0; turns % 2 && rt->turns == turns && naps < CYCLE_PATIENCE_MS; naps++)
        nanosleep(&nap, NULL);
    return turns % 2 == 0 || rt->turns != turns;
}

void rt_bind_midi(rt_t *rt, uintptr_t port, uintptr_t get_event_count, uintptr_t event_get)
{
    rt->midi.port = port;
    rt->midi.get_event_count = get_event_count;
    rt->midi.event_get = event_get;
}

void rt_bind_midi_out(rt_t *rt, uintptr_t port, uintptr_t clear_buffer, uintptr_t event_write)
{
    rt->midi.out_port = port;
    rt->midi.clear_buffer = clear_buffer;
    rt->midi.event_write = event_write;
}

static void tell(rt_t *rt, uint32_t event)
{
    atomic_fetch_or(&rt->events, event);
    sem_post(&rt->woken);
}

/* ---- the server's real-time thread ---- */

/* The ports' samples in this cycle; NULL: the server has none. */
typedef struct {
    float *in[RT_MAX_CHANNELS], *out[RT_MAX_CHANNELS];
    void *midi, *midi_out;
    uint32_t outputs;              /* that have ports: */
    uint8_t slots[RT_MAX_CHANNELS]; /* their numbers */
    rt_tape_t *tape;               /* NULL: there is none */
} buffers_t;

/* Where nothing is heard, a gain needs no time to change. */
static void settle(gain_t *gain)
{
    gain->now = gain->target = atomic_load_explicit(&gain->wanted, memory_order_relaxed);
}

static float *fetch_buffer(const rt_t *rt, uintptr_t port, uint32_t nframes)
{
    port_get_buffer_f *get_buffer = (port_get_buffer_f *)rt->server.port_get_buffer;
    return port ? get_buffer((jack_port_t *)port, nframes) : NULL;
}

/* Once a cycle, for JACK2 mixes what is connected to an input again each time that it is asked.
 * PipeWire may have no buffer for a port, after it was suspended for one: then nothing is heard
 * there, or what would be is lost. */
static void fetch_buffers(rt_t *rt, uint32_t nframes, buffers_t *buffers)
{
    for (uint32_t c = 0; c < rt->inputs; c++)
        buffers->in[c] = fetch_buffer(rt, rt->server.in_ports[c], nframes);
    buffers->outputs = 0;
    for (uint32_t c = 0; c < all_outputs(rt); c++) {
        uintptr_t port = rt->out_ports[c];
        buffers->out[c] = fetch_buffer(rt, port, nframes);
        if (port)
            buffers->slots[buffers->outputs++] = (uint8_t)c;
        else
            settle(&rt->gains[c]);
    }
    buffers->midi = fetch_buffer(rt, rt->midi.port, nframes);
    buffers->midi_out = fetch_buffer(rt, rt->midi.out_port, nframes);
    buffers->tape = rt->tape;
}

static void note_peak(_Atomic float *peak, const float *samples, uint32_t frames)
{
    float highest = atomic_load_explicit(peak, memory_order_relaxed), before = highest;
    for (uint32_t i = 0; i < frames; i++) {
        float level = fabsf(samples[i]);
        highest = level > highest ? level : highest;
    }
    if (highest > before)
        atomic_store_explicit(peak, highest, memory_order_relaxed);
}

static void hear(rt_t *rt, rt_link_t *const *links, const buffers_t *buffers, uint32_t nframes)
{
    chunk_t chunk;
    for (uint32_t done = 0, frames; done < nframes; done += frames) {
        frames = nframes - done < CHUNK ? nframes - done : CHUNK;
        uint32_t bad = 0;
        for (uint32_t c = 0; c < rt->inputs; c++) {
            if (buffers->in[c])
                bad += sanitise(chunk.samples[c], buffers->in[c] + done, frames, FLT_MIN);
            else
                memset(chunk.samples[c], 0, frames * sizeof(float));
            note_peak(&rt->in_peaks[c], chunk.samples[c], frames);
            if (buffers->tape)
                tape_input(buffers->tape, c, done, chunk.samples[c], frames);
        }
        if (bad)
            add(&rt->bad_samples, bad);
        for (int i = 0; i < 2; i++)
            if (links[i])
                link_hear(links[i], &chunk, frames);
    }
    for (int i = 0; i < 2; i++)
        if (links[i])
            link_heard(links[i], nframes);
}

/* Multiply by the gain, on its way to the one wanted. */
static void ramp(gain_t *gain, uint32_t ramp, float *samples, uint32_t frames)
{
    float wanted = atomic_load_explicit(&gain->wanted, memory_order_relaxed);
    if (wanted != gain->target) {
        gain->from = gain->now;
        gain->target = wanted;
        gain->frame = 0;
    }
    for (uint32_t i = 0; i < frames; i++) {
        if (gain->now != gain->target) {
            float share = 0.5f - 0.5f * cosf((float)M_PI * (float)++gain->frame / (float)ramp);
            gain->now = gain->from + share * (gain->target - gain->from);
            if (gain->frame >= ramp)
                gain->now = gain->target;
        }
        samples[i] *= gain->now;
    }
}

/* Cross-fade from the stems of one link, or none, to those of another, or back by a negative step. */
static void blend(rt_t *rt, const buffers_t *heard, chunk_t *from, const chunk_t *to, float step,
                  uint32_t frames)
{
    for (uint32_t i = 0; i < frames; i++) {
        rt->arrived += step;
        rt->arrived = rt->arrived < 0 ? 0 : rt->arrived < 1 ? rt->arrived : 1;
        float share = 0.5f - 0.5f * cosf((float)M_PI * rt->arrived);
        for (uint32_t n = 0; n < heard->outputs; n++) {
            float *sample = &from->samples[heard->slots[n]][i];
            *sample += share * (to->samples[heard->slots[n]][i] - *sample);
        }
    }
}

static void clear(chunk_t *chunk, const buffers_t *heard, uint32_t frames)
{
    for (uint32_t n = 0; n < heard->outputs; n++)
        memset(chunk->samples[heard->slots[n]], 0, frames * sizeof(float));
}

/* Before the link plays: what goes to the ports of the mix. */
static void mix(const rt_t *rt, const rt_link_t *link, const buffers_t *heard, chunk_t *out,
                uint32_t frames)
{
    for (uint32_t n = 0; n < heard->outputs; n++) {
        uint32_t slot = heard->slots[n];
        if (slot >= rt->outputs)
            link_dry(link, slot - rt->outputs, out->samples[slot], frames);
    }
}

/* Give a port what it plays from a frame of the cycle on; return how many samples were bad. */
static uint32_t give(rt_t *rt, uint32_t slot, float *samples, const buffers_t *heard, uint32_t at,
                     uint32_t frames)
{
    rt_tape_t *tape = heard->tape;
    if (tape && tape->before_gains)
        tape_output(tape, slot, at, samples, frames);
    ramp(&rt->gains[slot], rt->ramp, samples, frames);
    uint32_t bad = sanitise(samples, samples, frames, 0);
    note_peak(&rt->out_peaks[slot], samples, frames);
    if (tape && !tape->before_gains)
        tape_output(tape, slot, at, samples, frames);
    if (heard->out[slot])
        memcpy(heard->out[slot] + at, samples, frames * sizeof(float));
    return bad;
}

static void play(rt_t *rt, rt_link_t *playing, rt_link_t *coming, const buffers_t *heard,
                 uint32_t nframes)
{
    rt_link_t *links[] = {playing, coming};
    /* A link is warm when what it gives is made of what it has heard. */
    int is_warm = coming && !coming->held
                  && (!playing || get(&coming->out.read) >= coming->delay);
    int is_withdrawn = coming && coming->phase == LINK_WITHDRAWN;
    chunk_t out, other;
    for (int i = 0; i < 2; i++)
        if (links[i])
            link_begin(links[i], nframes);
    for (uint32_t done = 0, frames; done < nframes; done += frames) {
        frames = nframes - done < CHUNK ? nframes - done : CHUNK;
        clear(&out, heard, frames);
        uint32_t bad = 0;
        if (playing) {
            mix(rt, playing, heard, &out, frames);
            bad += link_play(playing, &out, frames);
        }
        if (coming) {
            clear(&other, heard, frames);
            mix(rt, coming, heard, &other, frames);
            bad += link_play(coming, &other, frames);
        }
        if (is_withdrawn ? rt->arrived > 0 : is_warm)
            blend(rt, heard, &out, &other, (is_withdrawn ? -1.0f : 1.0f) / (float)coming->fade, frames);
        for (uint32_t n = 0; n < heard->outputs; n++) {
            uint32_t slot = heard->slots[n];
            bad += give(rt, slot, out.samples[slot], heard, done, frames);
        }
        if (bad)
            add(&rt->bad_outputs, bad);
    }
    for (int i = 0; i < 2; i++)
        if (links[i])
            link_end(links[i]);
}

/* Whether the link, if there is one, passes from being on its way to another phase. */
static int passes(rt_link_t *link, int phase)
{
    int coming = LINK_COMING;
    return link && atomic_compare_exchange_strong(&link->phase, &coming, phase);
}

/* Let the link that was attached come, and the one that has come play, or go if it was taken back. */
static void change_links(rt_t *rt)
{
    rt_link_t *coming = rt->coming;
    if (rt->arrived == 1 && passes(coming, LINK_PLAYING)) {
        rt->playing = coming;
        set(&rt->delay, coming->delay);
        rt->coming = NULL;
        rt->arrived = 0;
        tell(rt, RT_SWAPPED);
    } else if (rt->arrived == 0 && coming && coming->phase == LINK_WITHDRAWN) {
        if (!rt->playing)
            set(&rt->delay, 0);
        rt->coming = NULL;
        tell(rt, RT_WITHDRAWN);
    }
    if (!rt->coming && rt->arriving) {
        rt->coming = atomic_load(&rt->arriving);
        rt->arriving = NULL;
    }
}

/* The scheduling of this very thread: what servers say of it is not always so, and PipeWire's gets
 * its priority from rtkit some time after it has begun. */
static void note_priority(rt_t *rt)
{
    struct sched_param param = {0};
    int policy = sched_getscheduler(0) & ~SCHED_RESET_ON_FORK;
    sched_getparam(0, &param);
    rt->priority = policy == SCHED_FIFO || policy == SCHED_RR ? param.sched_priority : 0;
}

/* Count drop-outs that are new. Each may be seen twice: as a report, and as a jump of the clock. */
static void count_xruns(rt_t *rt, uint64_t now_us, int jumped)
{
    uint64_t reports = get(&rt->reported) - rt->reports_seen;
    if (!reports && !jumped)
        return;
    if (now_us - rt->unpaired_us > PAIRING_US)
        rt->unpaired = 0;
    uint64_t known_jumps = rt->unpaired < 0 ? (uint64_t)-rt->unpaired : 0;
    rt->unpaired += (int64_t)reports;
    int is_known = rt->unpaired > 0; /* the jump: it was reported */
    rt->unpaired -= jumped;
    rt->unpaired_us = now_us;
    rt->reports_seen += reports;
    add(&rt->xruns, (reports > known_jumps ? reports - known_jumps : 0) + (jumped && !is_known));
}

/* Whether the server's clock jumped over cycles that were lost: as far as time went on. Cycles begin
 * up to a period late, and some time after they are due. What jumps alone is PipeWire's clock, which
 * restarts with another driver, and may run a period ahead and then back. */
static int has_jumped(const rt_t *rt, int32_t jump, uint32_t nframes, uint64_t passed_us)
{
    double passed = (double)passed_us * rt->samplerate / 1e6;
    double tolerance = 0.75 * nframes + WAKING_S * rt->samplerate;
    return jump > 0 && fabs(passed - nframes - jump) <= tolerance && !rt->freewheeling;
}

static void note_cycle(rt_t *rt, uint32_t nframes, uint64_t now_ns)
{
    int jumped = 0;
    last_frame_time_f *last_frame_time = (last_frame_time_f *)rt->server.last_frame_time;
    uint32_t now = last_frame_time((jack_client_t *)rt->server.client);
    int32_t jump = (int32_t)(now - rt->next_frame_time);
    uint64_t now_us = ((get_time_f *)rt->server.get_time)();
    if (rt->period != nframes || now_ns - rt->looked_ns >= PRIORITY_NS) {
        rt->looked_ns = now_ns;
        note_priority(rt);
    }
    if (rt->period != nframes) { /* JACK's clock goes on by the new period */
        rt->period = nframes;
        tell(rt, RT_PERIOD);
    } else if ((jumped = has_jumped(rt, jump, nframes, now_us - rt->began_us))) {
        add(&rt->jumps, 1);
    }
    count_xruns(rt, now_us, jumped);
    rt->began_us = now_us;
    rt->next_frame_time = now + nframes;
    add(&rt->frames, nframes);
    add(&rt->periods, 1);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

NONBLOCKING static int on_process(uint32_t nframes, void *arg)
{
    rt_t *rt = arg;
    uint64_t began = now_ns();
    rt->turns++;
    note_cycle(rt, nframes, began);
    change_links(rt);
    rt_link_t *links[] = {rt->playing, rt->coming};
    buffers_t buffers;
    fetch_buffers(rt, nframes, &buffers);
    if (buffers.midi && midi_hear(&rt->midi, buffers.midi))
        tell(rt, RT_MIDI);
    if (buffers.midi_out)
        midi_send(&rt->midi, buffers.midi_out);
    if (buffers.tape)
        tape_begin(buffers.tape, nframes);
    hear(rt, links, &buffers, nframes);
    if (rt->freewheeling)
        for (int i = 0; i < 2; i++)
            if (links[i]) {
                BLOCKING(link_await(links[i], nframes);) /* a bounce is not in real time */
            }
    play(rt, links[0], links[1], &buffers, nframes);
    if (buffers.tape)
        tape_end(buffers.tape);
    uint64_t took = now_ns() - began;
    if (took > get(&rt->worst_ns) && !rt->freewheeling)
        set(&rt->worst_ns, took);
    rt->turns++;
    return 0;
}

/* ---- the server's other threads ---- */

static void on_freewheel(int starting, void *arg)
{
    ((rt_t *)arg)->freewheeling = starting;
}

/* What goes in comes out later by the delay, so the outputs lie that much farther from where the
 * music is recorded, and the inputs from where it is heard. */
static void answer(rt_t *rt, jack_latency_callback_mode_t mode)
{
    const rt_server_t *server = &rt->server;
    port_latency_range_f *ask = (port_latency_range_f *)server->port_get_latency_range;
    port_latency_range_f *declare = (port_latency_range_f *)server->port_set_latency_range;
    uintptr_t outs[RT_MAX_CHANNELS];
    uint32_t n_outs = 0;
    for (uint32_t c = 0; c < all_outputs(rt); c++)
        if ((outs[n_outs] = rt->out_ports[c]))
            n_outs++;
    const uintptr_t *from = mode == JackCaptureLatency ? server->in_ports : outs;
    const uintptr_t *to = mode == JackCaptureLatency ? outs : server->in_ports;
    uint32_t n_from = mode == JackCaptureLatency ? rt->inputs : n_outs;
    uint32_t n_to = mode == JackCaptureLatency ? n_outs : rt->inputs;
    jack_latency_range_t all = {n_from ? UINT32_MAX : 0, 0};
    for (uint32_t c = 0; c < n_from; c++) {
        jack_latency_range_t range = {0, 0};
        ask((jack_port_t *)from[c], mode, &range);
        all.min = range.min < all.min ? range.min : all.min;
        all.max = range.max > all.max ? range.max : all.max;
    }
    all.min += (uint32_t)rt_delay(rt);
    all.max += (uint32_t)rt_delay(rt);
    for (uint32_t c = 0; c < n_to; c++) {
        jack_latency_range_t before = {0, 0};
        ask((jack_port_t *)to[c], mode, &before);
        if (before.min != all.min || before.max != all.max) /* else we would be asked again */
            declare((jack_port_t *)to[c], mode, &all);
    }
}

void rt_answer_latency(rt_t *rt)
{
    answer(rt, JackCaptureLatency);
    answer(rt, JackPlaybackLatency);
}

static void on_latency(jack_latency_callback_mode_t mode, void *arg)
{
    rt_t *rt = arg;
    if (rt->server.defers_latency)
        tell(rt, RT_LATENCY);
    else
        answer(rt, mode);
}

static int on_xrun(void *arg)
{
    add(&((rt_t *)arg)->reported, 1);
    return 0;
}

static int on_sample_rate(uint32_t samplerate, void *arg)
{
    ((rt_t *)arg)->samplerate = samplerate;
    tell(arg, RT_RATE);
    return 0;
}

static void on_port_registration(uint32_t port, int registered, void *arg)
{
    ports_note(&((rt_t *)arg)->ports, port, RT_NO_PORT, registered);
    tell(arg, RT_PORTS);
}

static void on_port_connect(uint32_t source, uint32_t destination, int connected, void *arg)
{
    ports_note(&((rt_t *)arg)->ports, source, destination, connected);
    tell(arg, RT_PORTS);
}

static void on_info_shutdown(jack_status_t code, const char *reason, void *arg)
{
    (void)code, (void)reason;
    tell(arg, RT_SHUTDOWN);
}

static void on_message(const char *text)
{
    (void)text;
}

uintptr_t rt_callback(uint32_t which)
{
    switch (which) {
    case RT_ON_PROCESS: return (uintptr_t)on_process;
    case RT_ON_FREEWHEEL: return (uintptr_t)on_freewheel;
    case RT_ON_LATENCY: return (uintptr_t)on_latency;
    case RT_ON_XRUN: return (uintptr_t)on_xrun;
    case RT_ON_SAMPLE_RATE: return (uintptr_t)on_sample_rate;
    case RT_ON_PORT_REGISTRATION: return (uintptr_t)on_port_registration;
    case RT_ON_PORT_CONNECT: return (uintptr_t)on_port_connect;
    case RT_ON_INFO_SHUTDOWN: return (uintptr_t)on_info_shutdown;
    case RT_ON_MESSAGE: return (uintptr_t)on_message;
    }
    return 0;
}

/* ---- any thread ---- */

static int fits(const rt_t *rt, const rt_link_t *link)
{
    int all = link->in.channels <= rt->inputs;
    for (uint32_t c = 0; c < link->out.channels; c++)
        all = all && link->slots[c] < rt->outputs;
    return all;
}

int rt_attach(rt_t *rt, rt_link_t *link)
{
    int new = LINK_NEW;
    if (!fits(rt, link) || rt->coming || rt->arriving
        || !atomic_compare_exchange_strong(&link->phase, &new, LINK_COMING))
        return 0;
    if (!rt->playing)
        set(&rt->delay, link->delay);
    rt->arriving = link;
    return 1;
}

int rt_withdraw(rt_t *rt, rt_link_t *link)
{
    return rt_holds(rt, link) && passes(link, LINK_WITHDRAWN);
}

int rt_holds(const rt_t *rt, const rt_link_t *link)
{
    return rt->arriving == link || rt->coming == link || rt->playing == link;
}

void rt_detach(rt_t *rt)
{
    rt->arriving = rt->coming = rt->playing = NULL;
    rt->arrived = 0;
}

void rt_set_gain(rt_t *rt, uint32_t output, float gain)
{
    if (output < rt->outputs && isfinite(gain))
        rt->gains[output].wanted = gain;
}

float rt_in_peak(rt_t *rt, uint32_t input)
{
    return input < rt->inputs ? atomic_exchange(&rt->in_peaks[input], 0) : 0;
}

float rt_out_peak(rt_t *rt, uint32_t output)
{
    return output < rt->outputs ? atomic_exchange(&rt->out_peaks[output], 0) : 0;
}

void rt_counters(const rt_t *rt, rt_counters_t *out)
{
    out->periods = get(&rt->periods);
    out->frames = get(&rt->frames);
    out->xruns = get(&rt->xruns);
    out->reported = get(&rt->reported);
    out->jumps = get(&rt->jumps);
    out->bad_samples = get(&rt->bad_samples);
    out->bad_outputs = get(&rt->bad_outputs);
    out->worst_ns = get(&rt->worst_ns);
    out->period = rt->period;
    out->priority = rt->priority;
}

int rt_read_midi(rt_t *rt, uint8_t *message)
{
    return midi_read(&rt->midi, message);
}

int rt_send_midi(rt_t *rt, const uint8_t *message)
{
    return midi_queue(&rt->midi, message);
}

int rt_read_port(rt_t *rt, rt_port_notice_t *notice)
{
    return ports_read(&rt->ports, notice);
}

int rt_is_freewheeling(const rt_t *rt)
{
    return rt->freewheeling;
}

uint64_t rt_delay(const rt_t *rt)
{
    return get(&rt->delay);
}

uint32_t rt_wait_events(rt_t *rt, uint32_t timeout_ms)
{
    wait_ms(&rt->woken, timeout_ms);
    while (!sem_trywait(&rt->woken)) /* what happened together is reported together */
        ;
    return atomic_exchange(&rt->events, 0);
}

void rt_wake(rt_t *rt)
{
    sem_post(&rt->woken);
}
