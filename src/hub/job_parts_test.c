/* SPDX-License-Identifier: Apache-2.0
 *
 * job_parts: what a job tries again while the store is busy, and how often the loader has to rest for that.
 */
#include "hub/job_parts.h"

#include "base/test.h"
#include "hub/depot.h"

/* A job's work that is held up `busy` times, and answers `then` at last. */
struct work {
    unsigned busy, calls;
    int then;
    atomic_bool *cancel; /* set by the first call; NULL: never */
};

static int attempt(void *arg, struct store *store, const atomic_bool *cancelled, struct err *err)
{
    struct work *work = arg;
    (void)store;
    (void)cancelled;
    if (work->cancel != NULL)
        atomic_store(work->cancel, true);
    return ++work->calls <= work->busy ? err_set(err, ERR_BUSY, "busy") : work->then;
}

static struct store *store_of(void *arg)
{
    return ((struct depot *)arg)->store;
}

static struct loader *loader_of(void *arg)
{
    return ((struct depot *)arg)->loader;
}

static void the_loader_rests_for_what_failed_alone(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct work work;
        bool cancelled;
        int rc;
        unsigned calls, mended;
    } cases[] = {
        {"at once", {.then = 0}, false, 0, 1, 0},
        {"busy for a while", {.busy = 3, .then = 0}, false, 0, 4, 0},
        {"failed", {.then = ERR_FULL}, false, ERR_FULL, 1, 1},
        {"failed when it was no longer busy", {.busy = 2, .then = ERR_ENGINE}, false, ERR_ENGINE, 3, 1},
        {"cancelled", {.busy = 100}, true, ERR_CANCELLED, 1, 1},
    };
    struct depot d;
    depot_open(&d, "null");
    depot_start(&d);
    const struct jobs_options world = {.store = store_of, .loader = loader_of, .arg = &d};
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        atomic_bool cancelled = false;
        struct job job = {.world = &world, .cancelled = &cancelled};
        struct work work = cases[i].work;
        struct err err = {0};
        unsigned before = faulty_mended(d.store);
        work.cancel = cases[i].cancelled ? &cancelled : NULL;
        int rc = job_patiently(&job, attempt, &work, &err);
        unsigned mended = faulty_mended(d.store) - before;
        if (rc != cases[i].rc || work.calls != cases[i].calls || mended != cases[i].mended)
            fail_msg("%s: %d after %u calls, opened again %u times", cases[i].name, rc, work.calls, mended);
    }
    depot_close(&d);
}

static void without_a_store_it_waits(void **state)
{
    (void)state;
    struct depot d = {.store = NULL};
    atomic_bool cancelled = false;
    const struct jobs_options world = {.store = store_of, .loader = loader_of, .arg = &d};
    struct job job = {.world = &world, .cancelled = &cancelled};
    struct work work = {.then = 0};
    assert_int_equal(job_patiently(&job, attempt, &work, NULL), ERR_UNAVAILABLE);
    assert_int_equal(work.calls, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_loader_rests_for_what_failed_alone),
        cmocka_unit_test(without_a_store_it_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
