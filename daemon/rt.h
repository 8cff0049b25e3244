/* The real-time side: what the server's thread does, and the rings to the engine thread.
 *
 * Three threads meet here. The server's real-time thread runs rt_process(); the engine thread
 * runs rt_wait(), rt_read() and rt_write(); anybody may read the counters. Both rings are
 * addressed by how many frames the server has asked for since the start, so what comes too late
 * is never played and the delay cannot change.
 */

/* Frames written to the input ring at once, whatever the period: so far the engine's thread keeps
 * away from the server's. */
#define RT_MAX_CHUNK 8192

typedef struct rt rt_t;

/* Counters, each written by one thread; a snapshot may mix two moments. */
typedef struct {
    uint64_t periods;      /* cycles of the server */
    uint64_t frames;       /* frames of those cycles */
    uint64_t late_periods; /* cycles in which output was missing */
    uint64_t late_frames;  /* frames of silence played in its place */
    uint64_t lost_frames;  /* frames of input the engine did not fetch in time */
} rt_counters_t;

/* Engine thread, before the server's thread runs. Capacities are powers of two; prefill is the
 * number of silent frames the output begins with. NULL when there is no memory. */
rt_t *rt_new(uint32_t inputs, uint32_t outputs, uint32_t in_capacity, uint32_t out_capacity,
             uint64_t prefill);
void rt_free(rt_t *rt);

/* Say where libjack's jack_port_get_buffer() and the ports are. */
void rt_bind(rt_t *rt, uintptr_t port_get_buffer, const uintptr_t *in_ports,
             const uintptr_t *out_ports);

/* Real-time thread: JackProcessCallback and JackFreewheelCallback; arg is the rt_t. */
int rt_process(uint32_t nframes, void *arg);
void rt_freewheel(int starting, void *arg);
uintptr_t rt_process_address(void);
uintptr_t rt_freewheel_address(void);

/* Engine thread. Wait until a cycle has passed, at most timeout_ms. */
void rt_wait(rt_t *rt, uint32_t timeout_ms);
/* Fetch up to max frames of each input channel, channel c at dst + c * stride; 0: no more now. */
uint32_t rt_read(rt_t *rt, float *dst, uint32_t stride, uint32_t max);
/* Append frames, no more than the ring holds, of each output channel, c at src + c * stride. */
void rt_write(rt_t *rt, const float *src, uint32_t stride, uint32_t frames);

/* Any thread. */
void rt_counters(const rt_t *rt, rt_counters_t *out);
int rt_is_freewheeling(const rt_t *rt);
/* Let a freewheeling rt_process() that waits for the engine go on without it. */
void rt_release(rt_t *rt);
