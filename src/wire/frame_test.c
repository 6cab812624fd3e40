/* SPDX-License-Identifier: Apache-2.0
 *
 * frame_test: every frame survives the way there and back, is refused at every cut and with a byte too many,
 * and no length is believed. The reference page names every frame, refusal and figure (argument 1).
 */
#include "base/test.h"
#include "frame.h"

#include <stdio.h>
#include <stdlib.h>

static struct frame *in, *out;
static struct buf bytes;
static const char *reference_path;

static int setup(void **state)
{
    (void)state;
    in = calloc(1, sizeof *in);
    out = calloc(1, sizeof *out);
    buf_init(&bytes, FRAME_BYTES);
    return in == NULL || out == NULL;
}

static int teardown(void **state)
{
    (void)state;
    free(in);
    free(out);
    buf_fini(&bytes);
    return 0;
}

static char longest[BATCH_ZSTD_BYTES];

/* Every field at its longest or another value that a swap would show. */
static void fill(enum frame_type type)
{
    memset(longest, 'a', sizeof longest);
    memset(in, 0, sizeof *in);
    in->type = type;
    switch (type) {
    case FRAME_HELLO:
        in->hello = (struct frame_hello){.greeting = 1,
                                         .flags = FRAME_HELLO_PROBE,
                                         .api_key = {longest, FRAME_KEY_BYTES},
                                         .edge = {longest, BATCH_EDGE_BYTES},
                                         .host = {longest, FRAME_HOST_BYTES},
                                         .software = {longest, FRAME_SOFTWARE_BYTES},
                                         .present = {{9}},
                                         .clock_us = -5,
                                         .figures = {1, 2, 3, 4, 5, 6, 7, 8, 9},
                                         .epoch_count = FRAME_EPOCHS};
        for (int i = 0; i < FRAME_EPOCHS; i++)
            in->hello.epochs[i].b[15] = (uint8_t)i;
        break;
    case FRAME_WELCOME:
        in->welcome = (struct frame_welcome){.greeting = 2,
                                             .tenant = 3,
                                             .config_revision = 4,
                                             .clock_us = 5,
                                             .window = 6,
                                             .batch_bytes = 7,
                                             .batch_records = 8,
                                             .progress_count = FRAME_EPOCHS};
        for (int i = 0; i < FRAME_EPOCHS; i++)
            in->welcome.progress[i] = (struct frame_progress){{{(uint8_t)i}}, (uint64_t)i};
        break;
    case FRAME_REFUSE:
        in->refuse = (struct frame_refuse){3, REFUSAL_FORKED, {longest, FRAME_REASON_BYTES}};
        break;
    case FRAME_BATCH:
        in->batch = (struct frame_batch){4, {{1}}, 2, BATCH_RECORDS, 3, -4, 5, {longest, BATCH_ZSTD_BYTES}};
        break;
    case FRAME_ACK:
        in->ack = (struct frame_ack){5, {{{7}}, UINT64_MAX}};
        break;
    case FRAME_STATUS:
        in->status = (struct frame_status){6, -1, {9, 8, 7, 6, 5, 4, 3, 2, 1}};
        break;
    case FRAME_SEEN:
        in->seen = (struct frame_seen){7, 8};
        break;
    case FRAME_BYE:
        in->bye.greeting = 8;
        break;
    }
}

#define X(number, name) FRAME_##name,
static const enum frame_type types[] = {FRAME_TYPES(X)};
#undef X

static void every_frame_at_its_longest_comes_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(types); i++) {
        fill(types[i]);
        buf_clear(&bytes);
        assert_int_equal(frame_encode(in, &bytes), 0);
        assert_true(types[i] == FRAME_BATCH || bytes.n <= FRAME_SMALL_BYTES);
        assert_int_equal(frame_decode(buf_slice(&bytes), out), 0);
        assert_int_equal(out->type, types[i]);
        struct buf again;
        buf_init(&again, FRAME_BYTES);
        assert_int_equal(frame_encode(out, &again), 0);
        assert_true(slice_equal(buf_slice(&bytes), buf_slice(&again)));
        buf_fini(&again);
    }
}

static void fields_keep_their_places(void **state)
{
    (void)state;
    fill(FRAME_HELLO);
    assert_int_equal(frame_encode(in, &bytes), 0);
    assert_int_equal(frame_decode(buf_slice(&bytes), out), 0);
    assert_int_equal(out->hello.flags, FRAME_HELLO_PROBE);
    assert_int_equal(out->hello.host.n, FRAME_HOST_BYTES);
    assert_int_equal(out->hello.clock_us, -5);
    assert_int_equal(out->hello.figures.depth, 1);
    assert_int_equal(out->hello.figures.latency_p99_us, 9);
    assert_int_equal(out->hello.epochs[255].b[15], 255);
    buf_clear(&bytes);
    fill(FRAME_BATCH);
    assert_int_equal(frame_encode(in, &bytes), 0);
    assert_int_equal(frame_decode(buf_slice(&bytes), out), 0);
    assert_int_equal(out->batch.first_seq, 2);
    assert_int_equal(out->batch.hash, 3);
    assert_int_equal(out->batch.clock_offset_us, 5);
    assert_int_equal(out->batch.body.n, BATCH_ZSTD_BYTES);
}

static void every_cut_and_every_byte_too_many_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(types); i++) {
        fill(types[i]);
        buf_clear(&bytes);
        assert_int_equal(frame_encode(in, &bytes), 0);
        for (size_t n = 0; n < bytes.n && n < 2 * FRAME_SMALL_BYTES; n++)
            assert_int_not_equal(frame_decode((struct slice){bytes.p, n}, out), 0);
        assert_int_not_equal(frame_decode((struct slice){bytes.p, bytes.n - 1}, out), 0);
        bytes.limit += 1;
        assert_int_equal(buf_add(&bytes, "", 1), 0);
        assert_int_equal(frame_decode(buf_slice(&bytes), out), ERR_INVALID);
    }
}

static void what_is_too_long_is_neither_written_nor_read(void **state)
{
    (void)state;
    fill(FRAME_HELLO);
    in->hello.api_key.n++;
    assert_int_equal(frame_encode(in, &bytes), ERR_LIMIT);
    fill(FRAME_HELLO);
    in->hello.epoch_count++;
    buf_clear(&bytes);
    assert_int_equal(frame_encode(in, &bytes), ERR_LIMIT);
    fill(FRAME_BATCH);
    in->batch.body.n = BATCH_ZSTD_BYTES + 1;
    buf_clear(&bytes);
    assert_int_equal(frame_encode(in, &bytes), ERR_LIMIT);

    fill(FRAME_HELLO);
    in->hello.api_key.n = 1;
    buf_clear(&bytes);
    assert_int_equal(frame_encode(in, &bytes), 0);
    bytes.p[7] = (char)(FRAME_KEY_BYTES + 1); /* the key's length */
    assert_int_equal(frame_decode(buf_slice(&bytes), out), ERR_LIMIT);

    fill(FRAME_BATCH);
    in->batch.body.n = 1;
    buf_clear(&bytes);
    assert_int_equal(frame_encode(in, &bytes), 0);
    memset(bytes.p + bytes.n - 5, 0xff, 4); /* the body's length */
    assert_int_equal(frame_decode(buf_slice(&bytes), out), ERR_LIMIT);
}

static void other_versions_types_and_edge_ids_are_refused(void **state)
{
    (void)state;
    fill(FRAME_HELLO);
    assert_int_equal(frame_encode(in, &bytes), 0);
    bytes.p[1] = FRAME_VERSION + 1;
    assert_int_equal(frame_decode(buf_slice(&bytes), out), ERR_VERSION);
    bytes.p[1] = FRAME_VERSION;
    bytes.p[0] = 0;
    assert_int_equal(frame_decode(buf_slice(&bytes), out), ERR_INVALID);
    bytes.p[0] = (char)0xff;
    assert_int_equal(frame_decode(buf_slice(&bytes), out), ERR_INVALID);
    in->type = 99;
    assert_int_equal(frame_encode(in, &bytes), ERR_INVALID);
    fill(FRAME_HELLO);
    in->hello.edge = SLICE("mx 1");
    buf_clear(&bytes);
    assert_int_equal(frame_encode(in, &bytes), 0);
    assert_int_equal(frame_decode(buf_slice(&bytes), out), ERR_INVALID);
}

static void refusals_have_names_and_advice(void **state)
{
    (void)state;
    assert_string_equal(frame_refusal_name(REFUSAL_NO_SESSION), "no-session");
    assert_true(frame_refusal_greets_now(REFUSAL_NO_SESSION));
    assert_true(frame_refusal_greets_now(REFUSAL_RESYNC));
    assert_false(frame_refusal_greets_now(REFUSAL_KEY));
    assert_string_equal(frame_refusal_name((enum refusal)0), "?");
    assert_string_equal(frame_refusal_name((enum refusal)255), "?");
    assert_string_equal(frame_type_name(FRAME_SEEN), "SEEN");
}

static void the_reference_page_names_everything(void **state)
{
    (void)state;
    char page[64 * 1024], row[1024];
    FILE *f = fopen(reference_path, "r");
    assert_non_null(f);
    page[fread(page, 1, sizeof page - 1, f)] = '\0';
    (void)fclose(f);
#define REFUSAL(number, NAME, name, greet, text)                                                             \
    (void)snprintf(row, sizeof row, "| %d | `%s` | %s |", number, name, text);                               \
    if (strstr(page, row) == NULL)                                                                           \
        fail_msg("%s lacks: %s", reference_path, row);
#include "refusals.def"
#undef REFUSAL
#define X(number, name)                                                                                      \
    if (strstr(page, "| " #number " | `" #name "` |") == NULL)                                               \
        fail_msg("%s lacks frame %s", reference_path, #name);
    FRAME_TYPES(X)
#undef X
#define X(name)                                                                                              \
    if (strstr(page, "`" #name "`") == NULL)                                                                 \
        fail_msg("%s lacks figure %s", reference_path, #name);
    FRAME_FIGURES(X)
#undef X
}

int main(int argc, char **argv)
{
    assert_int_equal(argc, 2);
    reference_path = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_frame_at_its_longest_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(fields_keep_their_places, setup, teardown),
        cmocka_unit_test_setup_teardown(every_cut_and_every_byte_too_many_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_too_long_is_neither_written_nor_read, setup, teardown),
        cmocka_unit_test_setup_teardown(other_versions_types_and_edge_ids_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(refusals_have_names_and_advice, setup, teardown),
        cmocka_unit_test(the_reference_page_names_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
