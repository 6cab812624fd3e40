/* SPDX-License-Identifier: Apache-2.0
 *
 * greet: who is this? HELLO is answered here: API key, address, edge pin, then a session. And asked again,
 * when the control data changed.
 */
#include "intake_impl.h"

struct verdict {
    enum refusal code; /* 0: welcome */
    char reason[FRAME_REASON_BYTES + 1];
};

static enum refusal code_of(int rc, const struct account_key *key, int64_t now_us)
{
    if (rc == ERR_UNAUTHENTICATED)
        return key->revoked_us != 0 && key->revoked_us <= now_us ? REFUSAL_REVOKED : REFUSAL_KEY;
    if (rc == ERR_DENIED)
        return (key->scopes & SCOPE_INGEST) == 0 ? REFUSAL_SCOPE : REFUSAL_ADDRESS;
    return REFUSAL_BUSY;
}

static void refuse(struct verdict *verdict, enum refusal code, const char *reason)
{
    struct slice text = slice_of(reason);
    if (text.n > FRAME_REASON_BYTES)
        text.n = FRAME_REASON_BYTES;
    verdict->code = code;
    memcpy(verdict->reason, text.p, text.n);
    verdict->reason[text.n] = '\0';
}

static void note_account(struct intake *in, bool broken, const struct err *err)
{
    if (broken && !in->account_broken)
        log_error("control data cannot be used, edges are refused: look after its file [%s]",
                  err_detail(err));
    in->account_broken = broken;
}

static struct verdict judge_key(struct intake *in, struct slice api_key, const struct ip *address,
                                struct account_key *key)
{
    struct verdict verdict = {0};
    struct err err = {0};
    int64_t now_us = clock_real_us();
    *key = (struct account_key){0};
    int rc = account_key_check(in->account, api_key, address, SCOPE_INGEST, now_us, key, &err);
    if (rc != 0)
        refuse(&verdict, code_of(rc, key, now_us), err_detail(&err));
    note_account(in, verdict.code == REFUSAL_BUSY, &err);
    return verdict;
}

/* A key that is known, whatever it may do here, is somebody's edge: its address may come again. */
static struct verdict judge_stranger(struct intake *in, const struct peer *peer, struct slice api_key,
                                     struct account_key *key)
{
    struct verdict verdict = judge_key(in, api_key, &peer->address, key);
    if (verdict.code != REFUSAL_KEY)
        knocks_forgive(in->knocks, &peer->address);
    return verdict;
}

static struct verdict judge(struct intake *in, const struct peer *peer, struct slice api_key,
                            const char *edge, struct account_key *key)
{
    struct err err = {0};
    struct verdict verdict = judge_stranger(in, peer, api_key, key);
    if (verdict.code == 0 && peer->api_key.p != NULL && !slice_equal(peer->api_key, api_key))
        refuse(&verdict, REFUSAL_KEY, "the request has another API key than its HELLO");
    if (verdict.code != 0)
        return verdict;
    if (!edges_admit(in->edges, key->tenant, slice_of(edge))) { /* before it takes a line among the pins */
        refuse(&verdict, REFUSAL_LIMIT, "the tenant has 4096 edge ids already: use one of them");
        return verdict;
    }
    int rc = account_edge_pin(in->account, key->tenant, edge, peer->curve_key, clock_real_us(), &err);
    if (rc != 0)
        refuse(&verdict, rc == ERR_DENIED ? REFUSAL_PINNED : REFUSAL_BUSY, err_detail(&err));
    note_account(in, verdict.code == REFUSAL_BUSY, &err);
    return verdict;
}

static void remember_text(struct slice text, char *out, size_t size)
{
    if (!text_is_utf8(text) || slice_to_string(text, out, size) != 0)
        out[0] = '\0';
}

/* An epoch belongs to one process. When the one before the last greets again, two processes take turns. */
static void note_process(struct edge *edge, const struct frame_hello *hello)
{
    if (epoch_equal(&edge->present, &hello->present))
        return;
    bool twice = edge->seen_us != 0 && epoch_equal(&edge->before, &hello->present);
    if (twice && !edge->run_twice)
        log_warning("edge runs twice: stop one, or give it an edge_id, key file and spool of its own edge=%s "
                    "tenant=%u",
                    edge->id, edge->tenant);
    edge->run_twice = twice;
    edge->before = edge->present;
    edge->present = hello->present;
}

static void note_hello(struct edge *edge, const struct peer *peer, const struct frame_hello *hello)
{
    note_process(edge, hello);
    remember_text(hello->host, edge->host, sizeof edge->host);
    remember_text(hello->software, edge->software, sizeof edge->software);
    edge->peer = peer->address;
    edge->transport = peer->route.socket == ROUTE_HTTPS ? EDGE_BY_HTTPS : EDGE_BY_ZMQ;
    edge->figures = hello->figures;
    edge->seen_us = edge->figures_us = clock_real_us();
    if (__builtin_sub_overflow(hello->clock_us, edge->seen_us, &edge->clock_offset_us))
        edge->clock_offset_us = INT64_MAX;
    edges_note(edge, edge->seen_us);
}

static void welcome(struct intake *in, const struct peer *peer, const struct frame_hello *hello,
                    const struct edge *edge, uint32_t tenant)
{
    static _Thread_local struct frame frame; /* large */
    frame.type = FRAME_WELCOME;
    frame.welcome = (struct frame_welcome){.greeting = hello->greeting,
                                           .tenant = tenant,
                                           .config_revision = in->generation,
                                           .clock_us = clock_real_us(),
                                           .window = in->window,
                                           .batch_bytes = BATCH_ZSTD_BYTES,
                                           .batch_records = BATCH_RECORDS,
                                           .progress_count = hello->epoch_count};
    for (uint16_t i = 0; i < hello->epoch_count; i++)
        frame.welcome.progress[i] = (struct frame_progress){
            hello->epochs[i], edge != NULL ? epochs_last(&edge->epochs, &hello->epochs[i]) : 0};
    in->stats.welcomes++;
    intake_queue(in, &peer->route, &frame);
}

/* The edge's one session from here on. NULL: no room. */
static struct session *open_session(struct intake *in, const struct peer *peer,
                                    const struct frame_hello *hello, struct edge *edge)
{
    struct session *session = sessions_find(in->sessions, &peer->route);
    if (session != NULL)
        sessions_close(in->sessions, session);
    if (edge->session != NULL)
        sessions_close(in->sessions, edge->session);
    if (sessions_open(in->sessions, &peer->route, &session) != 0)
        return NULL;
    session->edge = edge;
    session->tenant = edge->tenant;
    session->greeting = hello->greeting;
    session->peer = peer->address;
    session->api_key_bytes = (uint8_t)hello->api_key.n;
    memcpy(session->api_key, hello->api_key.p, hello->api_key.n);
    session->heard_us = clock_monotonic_us();
    session->checked = in->check_round;
    edge->session = session;
    return session;
}

void intake_greet(struct intake *in, const struct peer *peer, const struct frame_hello *hello)
{
    char id[BATCH_EDGE_BYTES + 1];
    struct account_key key;
    in->stats.hellos++;
    if (slice_to_string(hello->edge, id, sizeof id) != 0)
        return; /* the codec has checked */
    struct verdict verdict = judge(in, peer, hello->api_key, id, &key);
    if (verdict.code != 0) {
        intake_refuse(in, peer, hello->greeting, verdict.code, hello->edge, verdict.reason);
        return;
    }
    if (hello->flags & FRAME_HELLO_PROBE) {
        welcome(in, peer, hello, edges_find(in->edges, key.tenant, hello->edge), key.tenant);
        return;
    }
    struct edge *edge = edges_add(in->edges, key.tenant, hello->edge);
    if (edge == NULL || open_session(in, peer, hello, edge) == NULL) {
        intake_refuse(in, peer, hello->greeting, REFUSAL_BUSY, hello->edge, "the hub has max_sessions edges");
        return;
    }
    note_hello(edge, peer, hello);
    log_info("edge greeted edge=%s tenant=%u version=%s", edge->id, edge->tenant, edge->software);
    welcome(in, peer, hello, edge, edge->tenant);
}

void intake_put_off(struct intake *in, const struct peer *peer, const struct frame_hello *hello)
{
    struct account_key key;
    (void)judge_stranger(in, peer, hello->api_key, &key);
    intake_refuse(in, peer, hello->greeting, REFUSAL_FULL, hello->edge, frame_refusal_text(REFUSAL_FULL));
}

/* The pin is not looked at: an edge that the operator made the hub forget would be pinned again. */
void intake_recheck(struct intake *in, struct session *session)
{
    struct account_key key;
    struct slice api_key = {session->api_key, session->api_key_bytes};
    struct verdict verdict = judge_key(in, api_key, &session->peer, &key);
    session->checked = in->check_round;
    if (verdict.code == REFUSAL_BUSY)
        return; /* our own trouble: the session stays */
    if (verdict.code == 0 && key.tenant == session->tenant)
        return;
    intake_expel(in, session, session->greeting, REFUSAL_REVOKED,
                 verdict.code != 0 ? verdict.reason : "the API key was changed");
}
