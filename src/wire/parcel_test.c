/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of parcels: what was sealed opens, and nothing else does.
 */
#include "base/test.h"
#include "parcel.h"

#include <zmq.h>

struct party {
    char public_key[CURVE_Z85_BYTES], secret_key[CURVE_Z85_BYTES];
};

static struct party edge, hub;
static struct parcel_secret edges, hubs;
static const uint8_t link_name[PARCEL_LINK_BYTES] = "a link's name";
static uint8_t proof[PARCEL_PROOF_BYTES];
static struct buf body = {.limit = PARCEL_BYTES};

#define KEY SLICE("ma_key")

static int setup(void **state)
{
    (void)state;
    assert_int_equal(zmq_curve_keypair(edge.public_key, edge.secret_key), 0);
    assert_int_equal(zmq_curve_keypair(hub.public_key, hub.secret_key), 0);
    assert_int_equal(parcel_share(&edges, edge.secret_key, hub.public_key), 0);
    assert_int_equal(parcel_share(&hubs, hub.secret_key, edge.public_key), 0);
    assert_memory_equal(edges.b, hubs.b, sizeof edges.b);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buf_fini(&body);
    return 0;
}

static void pack(void)
{
    struct frame frame = {.type = FRAME_BYE};
    assert_int_equal(parcel_begin(&body, edge.public_key, link_name), 0);
    for (uint32_t i = 0; i < 3; i++) {
        frame.bye.greeting = i;
        assert_int_equal(parcel_add(&body, &frame), 0);
    }
    parcel_seal(&body, &edges, KEY, proof);
}

static void what_was_sealed_opens(void **state)
{
    (void)state;
    struct parcel parcel;
    struct slice bytes;
    struct frame frame;
    pack();
    assert_int_equal(parcel_open(buf_slice(&body), &parcel), 0);
    assert_string_equal(parcel.edge_key, edge.public_key);
    assert_memory_equal(parcel.link, link_name, sizeof link_name);
    assert_int_equal(parcel.count, 3);
    assert_int_equal(parcel_check(&parcel, &hubs, KEY), 0);
    assert_int_equal(parcel_check(&parcel, &hubs, SLICE("ma_other")), ERR_DENIED);
    struct slice rest = parcel.frames;
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(parcel_next(&rest, &bytes));
        assert_int_equal(frame_decode(bytes, &frame), 0);
        assert_int_equal(frame.bye.greeting, i);
    }
    assert_false(parcel_next(&rest, &bytes));
}

static void every_bit_counts(void **state)
{
    (void)state;
    struct parcel parcel;
    struct parcel_secret secret;
    pack();
    for (size_t i = 0; i < body.n; i++) {
        body.p[i] = (char)(body.p[i] ^ 4);
        int rc = parcel_open(buf_slice(&body), &parcel);
        if (rc == 0 && parcel_share(&secret, hub.secret_key, parcel.edge_key) == 0)
            assert_int_equal(parcel_check(&parcel, &secret, KEY), ERR_DENIED);
        body.p[i] = (char)(body.p[i] ^ 4);
    }
    for (size_t n = 0; n < body.n; n++)
        if (parcel_open((struct slice){body.p, n}, &parcel) == 0)
            assert_int_equal(parcel_check(&parcel, &hubs, KEY), ERR_DENIED);
}

static void lists_are_bounded(void **state)
{
    (void)state;
    struct parcel parcel;
    struct frame frame = {.type = FRAME_BYE};
    static const char huge[] = "\xff\xff\xff\x7f";
    assert_int_equal(parcel_begin(&body, edge.public_key, link_name), 0);
    for (int i = 0; i <= PARCEL_FRAMES; i++)
        assert_int_equal(parcel_add(&body, &frame), 0);
    assert_int_equal(parcel_open(buf_slice(&body), &parcel), ERR_LIMIT);
    assert_int_equal(parcel_begin(&body, edge.public_key, link_name), 0);
    assert_int_equal(buf_add(&body, huge, 4), 0);
    assert_int_equal(parcel_open(buf_slice(&body), &parcel), ERR_LIMIT);
    body.p[0] = 2;
    assert_int_equal(parcel_open(buf_slice(&body), &parcel), ERR_VERSION);
    assert_int_equal(parcel_open(SLICE(""), &parcel), ERR_INVALID);
    assert_int_equal(parcel_begin(&body, "no key", link_name), ERR_INVALID);
    assert_int_equal(parcel_share(&edges, "no key", hub.public_key), ERR_INVALID);
    /* the identity element: whatever the other key is, they share nothing secret */
    assert_int_equal(parcel_share(&hubs, hub.secret_key, "0000000000000000000000000000000000000000"),
                     ERR_INVALID);
}

static void a_reply_answers_one_request(void **state)
{
    (void)state;
    struct buf reply = {.limit = PARCEL_REPLY_BYTES};
    struct slice frames, bytes;
    uint8_t other[PARCEL_PROOF_BYTES] = "another request";
    pack();
    assert_int_equal(parcel_begin_reply(&reply), 0);
    assert_int_equal(parcel_add_bytes(&reply, SLICE("x")), 0);
    parcel_seal_reply(&reply, &hubs, proof);
    assert_int_equal(parcel_open_reply(buf_slice(&reply), &edges, proof, &frames), 0);
    assert_true(parcel_next(&frames, &bytes));
    assert_true(slice_equal(bytes, SLICE("x")));
    assert_int_equal(parcel_open_reply(buf_slice(&reply), &edges, other, &frames), ERR_DENIED);
    for (size_t i = 1; i < reply.n; i++) {
        reply.p[i] = (char)(reply.p[i] ^ 1);
        assert_int_equal(parcel_open_reply(buf_slice(&reply), &edges, proof, &frames), ERR_DENIED);
        reply.p[i] = (char)(reply.p[i] ^ 1);
    }
    assert_int_equal(parcel_open_reply(SLICE("\x02"), &edges, proof, &frames), ERR_VERSION);
    assert_int_equal(parcel_open_reply(SLICE("\x01"), &edges, proof, &frames), ERR_INVALID);
    buf_fini(&reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_sealed_opens, setup, teardown),
        cmocka_unit_test_setup_teardown(every_bit_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(lists_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reply_answers_one_request, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
