/* SPDX-License-Identifier: Apache-2.0
 *
 * sweeper: see sweeper.h.
 */
#include "store/sweeper.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool holds(const char *path, const char *text)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &status) == 0);
    char *all = malloc((size_t)status.st_size + 1);
    assert_non_null(all);
    assert_int_equal(read(fd, all, (size_t)status.st_size), status.st_size);
    bool found = memmem(all, (size_t)status.st_size, text, strlen(text)) != NULL;
    free(all);
    (void)close(fd);
    return found;
}

unsigned sweeper_canaries(const struct place *place, const char *prefix)
{
    char path[4096];
    unsigned found = 0;
    DIR *dir = opendir(place->path);
    assert_non_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_type != DT_REG || strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", place->path, entry->d_name);
        found += holds(path, CANARY);
    }
    (void)closedir(dir);
    return found;
}

void sweeper_roll(struct place *place)
{
    struct err err = {0};
    if (store_roll(place->store, LATER, NULL, &err) != 0)
        fail_msg("%s", err_detail(&err));
}

struct ids {
    uint64_t list[16];
    size_t count;
};

static int take_id(void *arg, const struct store_part *part)
{
    struct ids *ids = arg;
    assert_true(ids->count < ARRAY_LENGTH(ids->list));
    ids->list[ids->count++] = part->id;
    return 0;
}

void sweeper_rewrite(struct place *place, const struct store_rewrite *how)
{
    struct err err = {0};
    struct ids ids = {.count = 0};
    assert_int_equal(store_parts(place->store, take_id, &ids, NULL), 0);
    for (size_t i = 0; i < ids.count; i++)
        if (store_rewrite_part(place->store, ids.list[i], how, NULL, NULL, NULL, &err) != 0)
            fail_msg("%s", err_detail(&err));
}

void sweeper_sweep(struct place *place, const struct store_rewrite *how)
{
    struct err err = {0};
    if (store_sweep(place->store, how, NULL, &err) != 0)
        fail_msg("%s", err_detail(&err));
}

void sweeper_fill(struct place *place, struct fixture *fixture)
{
    fixture_init(fixture, 11, 1500);
    for (size_t i = 0; i < fixture->count; i++)
        if (fixture->events[i].message_id.b[0] % 7 == 3) {
            fixture->events[i].tenant = 1;
            fixture->events[i].sender = slice_of(CANARY);
        }
    size_t half = fixture->count / 2;
    assert_int_equal(store_append(place->store, fixture->events, half, NULL), 0);
    assert_int_equal(store_commit(place->store, place_cursor(1), NULL), 0);
    assert_int_equal(store_close_part(place->store, NULL), 0);
    assert_int_equal(store_append(place->store, fixture->events + half, fixture->count - half, NULL), 0);
    assert_int_equal(store_commit(place->store, place_cursor(2), NULL), 0);
    assert_int_equal(store_close_part(place->store, NULL), 0);
}

uint64_t sweeper_first_day(struct place *place, uint32_t tenant, const char *more)
{
    struct answer answer = {0};
    struct err err = {0};
    char json[256];
    (void)snprintf(json, sizeof json,
                   "{\"measures\":[\"requests\"],\"mode\":\"fast\",\"from\":\"2026-03-01\",\"to\":\"2026-03-"
                   "02\"%s}",
                   more);
    if (place_ask(place, json, tenant, &answer, &err) != 0)
        fail_msg("%s", err_detail(&err));
    const char *bar = answer.rows > 0 ? strrchr(answer.text.p, '|') : NULL;
    uint64_t sum = answer.rows > 0 ? strtoull(bar != NULL ? bar + 1 : answer.text.p, NULL, 10) : 0;
    buf_fini(&answer.text);
    buf_fini(&answer.totals);
    return sum;
}
