/* SPDX-License-Identifier: Apache-2.0
 *
 * fixture_fuzz: any bytes as a fixture file, taken into a real account file and rolled back. What is refused
 * must say why, and must leave nothing.
 */
#include "api/nouns.h"
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static bool reached;

static struct account *open_account(void)
{
    char dir[] = "/tmp/fixture-fuzz-XXXXXX", path[96];
    static const char *const ends[] = {"", "-wal", "-shm"};
    struct account *account = NULL;
    struct err err = {0};
    if (mkdtemp(dir) == NULL)
        abort();
    (void)snprintf(path, sizeof path, "%s/account.db", dir);
    if (account_open(&account, path, &err) != 0)
        abort();
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) { /* open files live on without names */
        (void)snprintf(path, sizeof path, "%s/account.db%s", dir, ends[i]);
        (void)unlink(path);
    }
    (void)rmdir(dir);
    return account;
}

static int made(void *arg, const char *tenant, const char *name, const char *secret)
{
    (void)arg;
    if (strlen(tenant) == 0 || strlen(name) == 0 || strlen(secret) != 46)
        abort();
    return 0;
}

static void ruled(void *arg, uint32_t tenant)
{
    (void)arg;
    (void)tenant;
    abort(); /* all tenants are new */
}

static int count(void *arg, const struct account_tenant *tenant)
{
    (void)tenant;
    ++*(size_t *)arg;
    return 0;
}

static int load_twice(struct account *account, void *arg, struct err *err)
{
    static const struct fixture_calls calls = {made, ruled, NULL};
    struct fixture_counts counts;
    size_t tenants = 0;
    int rc = fixture_load(account, arg, &counts, &calls, err);
    if (rc != 0 && err->detail[0] == '\0')
        abort();
    if (account_tenant_list(account, count, &tenants, NULL) != 0 || (rc != 0 && tenants != 0))
        abort();
    if (rc == 0 && (fixture_load(account, arg, &counts, &calls, err) != 0 ||
                    counts.tenants + counts.domains + counts.networks + counts.apikeys != 0))
        abort();
    reached = reached || rc == 0;
    return ERR_CANCELLED; /* back to the empty file */
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static struct account *account;
    json_error_t error;
    struct err err = {0};
    if (account == NULL)
        account = open_account();
    json_t *document = json_loadb((const char *)bytes, n, JSON_REJECT_DUPLICATES, &error);
    if (document != NULL && account_atomically(account, load_twice, document, &err) != ERR_CANCELLED)
        abort();
    json_decref(document);
    return 0;
}

const char *fuzz_unreached(void)
{
    return reached ? NULL : "a fixture that is taken";
}
