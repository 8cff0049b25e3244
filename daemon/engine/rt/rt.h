/* The real-time side: what the server's thread does, and its links to the engines.
 *
 * An rt_t lives as long as a client in the server's graph: ports, callbacks, gains, meters. A link
 * is the pair of rings between it and one engine. Usually one link plays; another may be coming,
 * warm up unheard, and take over by a cross-fade.
 *
 * Three threads meet here. The server's real-time thread runs rt_process(); an engine's thread
 * runs rt_link_wait(), rt_link_read() and rt_link_write(); any thread may call the functions that say
 * so. Rings are addressed by how many frames the server has asked for since the link was
 * heard first, so what comes too late is never played and the delay cannot change.
 */

#define RT_MAX_CHANNELS 16

typedef struct rt rt_t;
typedef struct rt_link rt_link_t;
typedef struct rt_tape rt_tape_t;

/* ---- links ---- */

typedef struct {
    uint32_t in_capacity, out_capacity; /* frames in the rings, powers of two */
    uint64_t prefill; /* silent frames that the output begins with */
    uint64_t delay;   /* frames from the input ports to the output ports */
    uint32_t fade;    /* frames of a cross-fade to the dry signal and back */
    uint32_t reserve; /* frames that must be left after a cycle; else the engine is late */
    uint32_t quantum; /* frames that may wait for the engine before it is woken */
} rt_link_sizes_t;

/* Counters, each written by one thread; a snapshot may mix two moments. */
typedef struct {
    uint64_t frames;       /* heard */
    uint64_t late_periods; /* cycles in which the engine's output was missing */
    uint64_t late_frames;  /* frames that it was missing for */
    uint64_t lost_frames;  /* frames of input the engine did not fetch in time */
    uint64_t dry_frames;   /* frames in which the dry signal was heard */
    uint64_t delivered;    /* frames that the engine has written */
    uint64_t heard_ns;     /* CLOCK_MONOTONIC when the last cycle was heard; 0: none was */
    uint32_t period;       /* frames of that cycle */
} rt_link_counters_t;

/* Any thread; NULL when there is no memory, or when the sizes are none: capacities are powers of two
 * and hold what lies in them. Free one only when rt_holds() says no.
 * slots: which of the client's outputs each of the link's is; all the others are silent. */
rt_link_t *rt_link_new(uint32_t inputs, uint32_t outputs, const uint8_t *slots,
                       const rt_link_sizes_t *sizes);
void rt_link_free(rt_link_t *link);

/* Engine thread. Wait until there is enough to do, at most timeout_ms. */
void rt_link_wait(rt_link_t *link, uint32_t timeout_ms);
/* Fetch up to max frames of each input channel, channel c at dst + c * stride; 0: no more now. */
uint32_t rt_link_read(rt_link_t *link, float *dst, uint32_t stride, uint32_t max);
/* Append frames of each output channel, c at src + c * stride. Returns how many: fewer where the ring
 * has no room for more, which an engine that goes by what it has read never sees. */
uint32_t rt_link_write(rt_link_t *link, const float *src, uint32_t stride, uint32_t frames);

/* Why the dry signal is wanted. Each reason has one owner, who alone sets and clears it. */
enum {
    RT_DRY_BYPASS = 1,
    RT_DRY_OVERLOAD = 2,
};

/* Any thread. Fade to the delayed input, heard on as many of the last outputs alone as there are
 * inputs (silence, where there are fewer), for as long as there is any reason; then back. */
void rt_link_set_dry(rt_link_t *link, uint32_t reason, int on);
/* Keep a link that comes from being heard, however warm it is; or no longer. */
void rt_link_hold(rt_link_t *link, int hold);
void rt_link_counters(const rt_link_t *link, rt_link_counters_t *out);
/* Let a freewheeling rt_process() that waits for the engine go on without it. */
void rt_link_release(rt_link_t *link);

/* ---- tapes ---- */

/* A ring of what is heard at the inputs and what leaves the outputs, both in the same cycles, for a
 * recording. Any thread; NULL when there is no memory, or when the sizes are none: the capacity is a
 * power of two, of more frames than the longest cycle.
 * slots: which of the client's outputs are taped. before_gains: without the gains. */
rt_tape_t *rt_tape_new(uint32_t inputs, uint32_t outputs, const uint8_t *slots, uint32_t capacity,
                       int before_gains);
void rt_tape_free(rt_tape_t *tape);
/* One thread. Fetch up to max frames of each input, then of each output, channel c at
 * dst + c * stride; 0: no more now. What is older than the ring is silence, and counted. */
uint32_t rt_tape_read(rt_tape_t *tape, float *dst, uint32_t stride, uint32_t max);
uint64_t rt_tape_lost(const rt_tape_t *tape);

/* ---- the client ---- */

/* Addresses of libjack's functions, of the client, and of the input ports. */
typedef struct {
    uintptr_t port_get_buffer, port_get_latency_range, port_set_latency_range;
    uintptr_t last_frame_time, get_time;
    uintptr_t client;
    /* Whether latency is not to be answered in the callback, but by rt_answer_latency() when
     * RT_LATENCY is reported: PipeWire (0.3.65) may deadlock when latencies are set in there. */
    int defers_latency;
    uintptr_t in_ports[RT_MAX_CHANNELS];
} rt_server_t;

/* What happened since rt_wait_events() was asked last. */
enum {
    RT_SHUTDOWN = 1, /* the server went away */
    RT_RATE = 2,     /* it may run at another sample rate */
    RT_PERIOD = 4,   /* it calls with another number of frames */
    RT_PORTS = 8,    /* ports came, went, were connected or disconnected */
    RT_SWAPPED = 16, /* the coming link plays now */
    RT_LATENCY = 32, /* the server asks for our latency */
    RT_MIDI = 64,    /* rt_read_midi() has messages */
    RT_WITHDRAWN = 128, /* the coming link was taken back, and is let go */
};

typedef struct {
    uint64_t periods;     /* cycles of the server */
    uint64_t frames;      /* frames of those cycles */
    uint64_t xruns;       /* drop-outs: reported by the server or seen as jumps, each once */
    uint64_t reported;    /* of those: the server reported it; PipeWire reports none to us */
    uint64_t jumps;       /* of those: the server's clock jumped over time that had passed */
    uint64_t bad_samples; /* of input that were no number, or absurdly large; silence instead */
    uint64_t bad_outputs; /* the same of output, before the ports: silence was played instead */
    uint64_t worst_ns;    /* longest cycle spent here */
    uint32_t period;      /* frames of the last cycle */
    int32_t priority;     /* of the server's thread; 0: it has no real-time scheduling */
} rt_counters_t;

/* A port came or went, or its client became active or inactive; or two were connected or not. */
typedef struct {
    uint64_t time_ns;     /* of the monotonic clock */
    uint32_t port, other; /* their numbers; other is RT_NO_PORT where there is none */
    int is_there;
} rt_port_notice_t;
#define RT_NO_PORT 0xffffffff

/* Any thread; NULL when there is no memory. ramp: frames in which a gain changes. The outputs that
 * follow, as many as there are inputs, are the mix: the dry signal, at full level whatever is wanted;
 * it costs nothing where it has no ports. */
rt_t *rt_new(uint32_t inputs, uint32_t outputs, uint32_t samplerate, uint32_t ramp);
void rt_free(rt_t *rt);
/* Before the server's thread runs. */
void rt_bind(rt_t *rt, const rt_server_t *server);
/* Any thread. Let an output be heard at a port; 0: at none. A cycle that is under way may still use
 * the last one. */
void rt_set_out_port(rt_t *rt, uint32_t output, uintptr_t port);
/* Any thread. Tape every cycle from the next one on; NULL: none. A cycle that is under way may still
 * use the last tape. */
void rt_set_tape(rt_t *rt, rt_tape_t *tape);
/* Any thread but the server's. Wait until the cycle that is under way, if any, has ended; 0: it goes on
 * after half a second, as one of a bounce may. */
int rt_let_cycle_end(rt_t *rt);
/* Before the server's thread runs. Listen to a MIDI port, by libjack's functions. */
void rt_bind_midi(rt_t *rt, uintptr_t port, uintptr_t get_event_count, uintptr_t event_get);
/* Before the server's thread runs. Send through a MIDI port, by libjack's functions. */
void rt_bind_midi_out(rt_t *rt, uintptr_t port, uintptr_t clear_buffer, uintptr_t event_write);

/* Any thread but one at a time. Let a new link come; 0 while another still does, or if it is not new
 * or has channels that the client has not. */
int rt_attach(rt_t *rt, rt_link_t *link);
/* Any thread. Take back a link that is coming: what of it is heard fades back to the link that
 * plays, and RT_WITHDRAWN says that it is let go. 0 if it already plays, or never came: then nothing
 * has changed. */
int rt_withdraw(rt_t *rt, rt_link_t *link);
/* Whether the real-time thread may still touch the link. */
int rt_holds(const rt_t *rt, const rt_link_t *link);
/* Set the ports' latencies, from those of connected ports and the delay. */
void rt_answer_latency(rt_t *rt);
/* Forget all links; the server's thread must not run. */
void rt_detach(rt_t *rt);

/* Any thread. */
void rt_set_gain(rt_t *rt, uint32_t output, float gain); /* one that is not finite changes nothing */
float rt_in_peak(rt_t *rt, uint32_t input);   /* highest level since it was asked last */
float rt_out_peak(rt_t *rt, uint32_t output);
void rt_counters(const rt_t *rt, rt_counters_t *out);
/* One thread. Fetch the oldest message of three bytes, a control change or a note; 0: none. */
int rt_read_midi(rt_t *rt, uint8_t *message);
/* One thread. Send a message of three bytes in the next cycle; 0: too many wait. */
int rt_send_midi(rt_t *rt, const uint8_t *message);
/* One thread. Fetch the oldest notice of ports. 0: there is none; -1: too many, all were lost. */
int rt_read_port(rt_t *rt, rt_port_notice_t *notice);
int rt_is_freewheeling(const rt_t *rt);
uint64_t rt_delay(const rt_t *rt); /* of the link that plays, else of the one that comes */
/* Wait at most timeout_ms; RT_* flags. One thread. */
uint32_t rt_wait_events(rt_t *rt, uint32_t timeout_ms);
void rt_wake(rt_t *rt); /* let it return; safe in a signal handler */

/* Callbacks for the server, in the order of libjack's; their argument is the rt_t. */
uintptr_t rt_callback(uint32_t which);
enum {
    RT_ON_PROCESS,
    RT_ON_FREEWHEEL,
    RT_ON_LATENCY,
    RT_ON_XRUN,
    RT_ON_SAMPLE_RATE,
    RT_ON_PORT_REGISTRATION,
    RT_ON_PORT_CONNECT,
    RT_ON_INFO_SHUTDOWN,
    RT_ON_MESSAGE, /* of jack_set_error_function() and jack_set_info_function(): says nothing */
};

/* ---- threads that may not run for long without waiting (any thread) ---- */

/* Limit the time of real-time threads, with a signal before the hard limit kills the process; 0: not
 * possible. */
int rt_guard(uint64_t soft_us, uint64_t hard_us);
/* Set the soft limit again where a library has changed it. */
int rt_guard_limit(uint64_t soft_us);
/* Make a thread normal when any one has reached the soft limit; 0: there are too many. */
int rt_guard_thread(int32_t thread);
void rt_guard_forget(int32_t thread);
/* How often that has happened. */
uint32_t rt_guard_overruns(void);
