#include "zap.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

#include "clock.h"
#include "log.h"

enum {
    CURVE_KEY_BYTES = 32,
    FRAMES_MAX = 8,
    FRAME_BYTES_MAX = 300,
    LOG_EVERY_MS = 1000 /* a refused peer tries again and again */
};

struct zap {
    void *socket; /* REP */
    struct keys_allow *allow;
    pthread_t thread;
    int stop_fd;
    uint64_t logged_ms;
    uint64_t unlogged; /* refusals since then */
};

struct zap_frame {
    char data[FRAME_BYTES_MAX];
    size_t len;
};

/* The frames of a request as RFC 27 names them. */
enum {
    FRAME_VERSION,
    FRAME_REQUEST,
    FRAME_DOMAIN,
    FRAME_ADDRESS,
    FRAME_IDENTITY,
    FRAME_MECHANISM,
    FRAME_CREDENTIALS
};

/* Reads one request; the number of its frames, or 0 when it is not usable. */
static size_t read_request(struct zap *z, struct zap_frame frames[FRAMES_MAX])
{
    size_t n = 0;
    bool usable = true;
    int more = 1;
    while (more) {
        zmq_msg_t msg;
        zmq_msg_init(&msg);
        if (zmq_msg_recv(&msg, z->socket, n == 0 ? ZMQ_DONTWAIT : 0) < 0) {
            zmq_msg_close(&msg);
            return 0;
        }
        size_t len = zmq_msg_size(&msg);
        if (n < FRAMES_MAX && len < FRAME_BYTES_MAX) {
            memcpy(frames[n].data, zmq_msg_data(&msg), len);
            frames[n].data[len] = '\0';
            frames[n].len = len;
        } else {
            usable = false;
        }
        n++;
        more = zmq_msg_more(&msg);
        zmq_msg_close(&msg);
    }
    return usable && n <= FRAMES_MAX ? n : 0;
}

static void log_refusal(struct zap *z, const struct zap_frame *frames, const char *key,
                        const char *why)
{
    uint64_t now = clock_ms();
    z->unlogged++;
    if (z->logged_ms && now - z->logged_ms < LOG_EVERY_MS)
        return;
    LOG_WARN("connection refused", log_str("address", frames[FRAME_ADDRESS].data),
             log_str("key", key), log_str("err", why), log_u64("count", z->unlogged));
    z->logged_ms = now;
    z->unlogged = 0;
}

/* Who it is, or why not. */
static const char *authenticate(struct zap *z, const struct zap_frame *frames, size_t n,
                                struct keys_entry *ret)
{
    char key[KEYS_Z85_LEN + 1] = "";
    const char *why = NULL;
    unsigned long roles = strtoul(frames[FRAME_DOMAIN].data, NULL, 10);
    if (strcmp(frames[FRAME_MECHANISM].data, "CURVE") != 0)
        why = "no CURVE";
    else if (n <= FRAME_CREDENTIALS || frames[FRAME_CREDENTIALS].len != CURVE_KEY_BYTES)
        why = "no key";
    else if (!zmq_z85_encode(key, (const uint8_t *)frames[FRAME_CREDENTIALS].data, CURVE_KEY_BYTES))
        why = "no key";
    else if (!z->allow || !keys_allow_find(z->allow, key, ret))
        why = "the key is not authorized";
    else if (!(roles & (unsigned long)ret->role))
        why = "a key of another role";
    if (why)
        log_refusal(z, frames, key, why);
    return why;
}

static void send_frame(struct zap *z, const char *data, size_t len, int flags)
{
    if (zmq_send(z->socket, data, len, flags) < 0)
        LOG_ERROR("authenticator cannot answer", log_str("err", zmq_strerror(errno)));
}

static void serve(struct zap *z)
{
    struct zap_frame frames[FRAMES_MAX];
    struct keys_entry who;
    char user[sizeof "worker:" + KEYS_NAME_MAX];
    size_t n = read_request(z, frames);
    if (n == 0 && zmq_errno() == EAGAIN)
        return;
    const char *why = "malformed";
    user[0] = '\0';
    if (n > FRAME_MECHANISM)
        why = authenticate(z, frames, n, &who);
    if (!why)
        snprintf(user, sizeof user, "%s:%s", keys_role_name(who.role), who.name);
    send_frame(z, "1.0", 3, ZMQ_SNDMORE);
    send_frame(z, frames[FRAME_REQUEST].data, n > FRAME_REQUEST ? frames[FRAME_REQUEST].len : 0,
               ZMQ_SNDMORE);
    send_frame(z, why ? "400" : "200", 3, ZMQ_SNDMORE);
    send_frame(z, why ? why : "OK", why ? strlen(why) : 2, ZMQ_SNDMORE);
    send_frame(z, user, strlen(user), ZMQ_SNDMORE);
    send_frame(z, "", 0, 0);
}

static void *run(void *arg)
{
    struct zap *z = arg;
    for (;;) {
        zmq_pollitem_t items[2] = {{z->socket, 0, ZMQ_POLLIN, 0},
                                   {NULL, z->stop_fd, ZMQ_POLLIN, 0}};
        if (zmq_poll(items, 2, -1) < 0 && zmq_errno() != EINTR)
            break;
        if (items[1].revents)
            break;
        if (items[0].revents)
            serve(z);
    }
    return NULL;
}

/* The thread takes no signals: they belong to the program's loop. */
static int start_thread(struct zap *z)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&z->thread, NULL, run, z);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

int zap_new(void *zmq_context, struct keys_allow *allow, struct zap **ret, struct error *e)
{
    int linger = 0;
    struct zap *z = calloc(1, sizeof *z);
    if (!z)
        return error_set(e, ERR_NOMEM, "authenticator");
    z->allow = allow;
    z->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    z->socket = zmq_socket(zmq_context, ZMQ_REP);
    if (z->stop_fd >= 0 && z->socket &&
        zmq_setsockopt(z->socket, ZMQ_LINGER, &linger, sizeof linger) == 0 &&
        zmq_bind(z->socket, "inproc://zeromq.zap.01") == 0 && start_thread(z) == 0) {
        *ret = z;
        return ERR_OK;
    }
    error_set(e, ERR_INTERNAL, "authenticator: %s", zmq_strerror(zmq_errno()));
    if (z->socket)
        zmq_close(z->socket);
    if (z->stop_fd >= 0)
        close(z->stop_fd);
    free(z);
    return ERR_INTERNAL;
}

void zap_free(struct zap *z)
{
    uint64_t one = 1;
    if (!z)
        return;
    if (write(z->stop_fd, &one, sizeof one) != sizeof one)
        LOG_ERROR("authenticator does not stop", log_str("err", strerror(errno)));
    pthread_join(z->thread, NULL);
    zmq_close(z->socket);
    close(z->stop_fd);
    free(z);
}
