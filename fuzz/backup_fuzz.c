/* SPDX-License-Identifier: Apache-2.0
 *
 * backup_fuzz: any bytes as the manifest of a backup. Names of what is taken must stay below a directory, and
 * none may come twice; what is refused must say why.
 */
#include "fuzz.h"
#include "hub/backup.h"

#include <stdlib.h>

static bool reached, refused;

/* Walked as a path is: never above where it began, each step a name. */
static void must_stay_below(const char *name)
{
    struct slice rest = slice_of(name), part;
    if (name[0] == '/' || strlen(name) >= BACKUP_NAME_BYTES)
        abort();
    while (slice_split(&rest, '/', &part))
        if (part.n == 0 || slice_equal(part, SLICE(".")) || slice_equal(part, SLICE("..")))
            abort();
    for (const char *p = name; *p != '\0'; p++)
        if (*p < ' ' || *p > '~')
            abort();
}

static void look_at(const json_t *files)
{
    json_t *names = json_object();
    size_t count = json_array_size(files);
    if (count > BACKUP_FILES || names == NULL)
        abort();
    for (size_t i = 0; i < count; i++) {
        const json_t *file = json_array_get(files, i);
        const char *name = json_string_value(json_object_get(file, "name"));
        if (name == NULL || json_integer_value(json_object_get(file, "bytes")) < 0 ||
            json_string_length(json_object_get(file, "xxh3_128")) != 32)
            abort();
        must_stay_below(name);
        if (json_object_set_new(names, name, json_true()) != 0)
            abort();
    }
    if (json_object_size(names) != count)
        abort();
    json_decref(names);
    reached = reached || count > 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *manifest = NULL;
    struct err err = {0};
    int rc = backup_parse((struct slice){(const char *)data, size}, &manifest, &err);
    if ((rc == 0) != (manifest != NULL) || (rc != 0 && err.detail[0] == '\0'))
        abort();
    if (rc == 0)
        look_at(json_object_get(manifest, "files"));
    refused = refused || rc == ERR_VERSION;
    json_decref(manifest);
    return 0;
}

const char *fuzz_unreached(void)
{
    return !reached ? "a manifest that is taken" : !refused ? "one of a newer release" : NULL;
}
