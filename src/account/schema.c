/* SPDX-License-Identifier: Apache-2.0
 *
 * schema: see schema.h.
 */
#include "schema.h"

#include "job.h"

#include <stdio.h>

/* As digits, for the texts below. */
#define JOBS_WAITING_LIMIT 1000
#define JOBS_KEPT_LIMIT    10000

#define QUOTE_(x) #x
#define QUOTE(x)  QUOTE_(x)

#define LIMITED(table, limit) "INSERT INTO tally(what, n) VALUES ('" table "', 0);" LIMITS(table, limit)
#define LIMITS(table, limit)                                                                                 \
    "CREATE TRIGGER " table "_limit BEFORE INSERT ON " table                                                 \
    " WHEN (SELECT n FROM tally WHERE what = '" table                                                        \
    "') >= " QUOTE(limit) " BEGIN SELECT RAISE(ABORT, 'no more than " QUOTE(                                 \
        limit) " rows of " table "'); END;"                                                                  \
               "CREATE TRIGGER " table "_more AFTER INSERT ON " table                                        \
               " BEGIN UPDATE tally SET n = n + 1 WHERE what = '" table "'; END;"                            \
               "CREATE TRIGGER " table "_less AFTER DELETE ON " table                                        \
               " BEGIN UPDATE tally SET n = n - 1 WHERE what = '" table "'; END;"

#define RAISES_VERSION(table)                                                                                \
    "CREATE TRIGGER " table "_added AFTER INSERT ON " table                                                  \
    " BEGIN UPDATE tenant SET rule_version = rule_version + 1 WHERE id = NEW.tenant; END;"                   \
    "CREATE TRIGGER " table "_changed AFTER UPDATE ON " table                                                \
    " BEGIN UPDATE tenant SET rule_version = rule_version + 1 WHERE id = NEW.tenant; END;"                   \
    "CREATE TRIGGER " table "_removed AFTER DELETE ON " table                                                \
    " BEGIN UPDATE tenant SET rule_version = rule_version + 1 WHERE id = OLD.tenant; END;"

static const char version_1[] =
    "CREATE TABLE tally (what TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT;"
    "CREATE TABLE tenant ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id <= 4294967295),"
    " name TEXT NOT NULL UNIQUE COLLATE NOCASE,"
    " created_us INTEGER NOT NULL,"
    " rule_version INTEGER NOT NULL DEFAULT 1) STRICT;"
    "CREATE TABLE domain ("
    " tenant INTEGER NOT NULL REFERENCES tenant(id) ON DELETE CASCADE,"
    " name TEXT NOT NULL,"
    " kind INTEGER NOT NULL CHECK (kind IN (0, 1)),"
    " subdomains INTEGER NOT NULL,"
    " PRIMARY KEY (tenant, name)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE network ("
    " tenant INTEGER NOT NULL REFERENCES tenant(id) ON DELETE CASCADE,"
    " net BLOB NOT NULL CHECK (length(net) = 16),"
    " bits INTEGER NOT NULL CHECK (bits BETWEEN 0 AND 128),"
    " trusted INTEGER NOT NULL,"
    " comment TEXT NOT NULL,"
    " PRIMARY KEY (tenant, net, bits)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE apikey ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " tenant INTEGER NOT NULL REFERENCES tenant(id) ON DELETE CASCADE,"
    " name TEXT NOT NULL,"
    " hash BLOB NOT NULL UNIQUE,"
    " scopes INTEGER NOT NULL,"
    " created_us INTEGER NOT NULL,"
    " expires_us INTEGER NOT NULL,"
    " revoked_us INTEGER NOT NULL) STRICT;"
    "CREATE UNIQUE INDEX apikey_name ON apikey (tenant, name) WHERE revoked_us = 0;"
    "CREATE TABLE apikey_address ("
    " apikey INTEGER NOT NULL REFERENCES apikey(id) ON DELETE CASCADE,"
    " net BLOB NOT NULL CHECK (length(net) = 16),"
    " bits INTEGER NOT NULL CHECK (bits BETWEEN 0 AND 128),"
    " PRIMARY KEY (apikey, net, bits)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE edge ("
    " id TEXT PRIMARY KEY,"
    " tenant INTEGER NOT NULL REFERENCES tenant(id) ON DELETE CASCADE,"
    " curve_key TEXT NOT NULL,"
    " first_seen_us INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE INDEX edge_tenant ON edge (tenant);"
    "CREATE TABLE audit ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " at_us INTEGER NOT NULL,"
    " tenant INTEGER NOT NULL,"
    " actor TEXT NOT NULL,"
    " action TEXT NOT NULL,"
    " detail TEXT NOT NULL) STRICT;"
    /* The audit keeps its latest million lines. */
    "CREATE TRIGGER audit_bound AFTER INSERT ON audit"
    " BEGIN DELETE FROM audit WHERE id <= NEW.id - 1000000; END;" LIMITED("tenant", 100000)
        LIMITED("domain", 1000000) LIMITED("network", 1000000) LIMITED("apikey", 1000000)
            LIMITED("edge", 1000000) RAISES_VERSION("domain") RAISES_VERSION("network");

_Static_assert(RULES_DOMAINS == 1000000 && RULES_NETWORKS == 1000000, "the schema's limits are the rules'");

/* An edge id is its tenant's own: what another tenant calls its edges concerns nobody. */
static const char version_2[] = "ALTER TABLE edge RENAME TO edge_before;"
                                "CREATE TABLE edge ("
                                " tenant INTEGER NOT NULL REFERENCES tenant(id) ON DELETE CASCADE,"
                                " id TEXT NOT NULL,"
                                " curve_key TEXT NOT NULL,"
                                " first_seen_us INTEGER NOT NULL,"
                                " PRIMARY KEY (tenant, id)) STRICT, WITHOUT ROWID;"
                                "INSERT INTO edge (tenant, id, curve_key, first_seen_us)"
                                " SELECT tenant, id, curve_key, first_seen_us FROM edge_before;"
                                "DROP TABLE edge_before;" /* with its triggers; the tally stays */
    LIMITS("edge", 1000000);

/* Jobs, tombstones and retention. Tombstones have no foreign key: they outlive their tenant. */
static const char version_3[] =
    "CREATE TABLE job ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " tenant INTEGER NOT NULL,"
    " kind TEXT NOT NULL,"
    " arguments TEXT NOT NULL,"
    " who TEXT NOT NULL,"
    " created_us INTEGER NOT NULL,"
    " started_us INTEGER NOT NULL DEFAULT 0,"
    " ended_us INTEGER NOT NULL DEFAULT 0,"
    " state INTEGER NOT NULL DEFAULT 0 CHECK (state BETWEEN 0 AND 4),"
    " cancel INTEGER NOT NULL DEFAULT 0,"
    " done INTEGER NOT NULL DEFAULT 0,"
    " total INTEGER NOT NULL DEFAULT 0,"
    " resume TEXT NOT NULL DEFAULT '',"
    " result TEXT NOT NULL DEFAULT '') STRICT;"
    "CREATE INDEX job_open ON job (state, id) WHERE state IN (0, 1);"
    "CREATE TRIGGER job_limit BEFORE INSERT ON job"
    " WHEN (SELECT count(*) FROM job WHERE state IN (0, 1)) >= " QUOTE(
        JOBS_WAITING_LIMIT) " BEGIN SELECT RAISE(ABORT, 'too many jobs wait'); END;"
                            "CREATE TRIGGER job_bound AFTER UPDATE OF state ON job WHEN NEW.state > 1"
                            " BEGIN DELETE FROM job WHERE state > 1 AND id <= NEW.id - " QUOTE(
                                JOBS_KEPT_LIMIT) "; END;"
                                                 "CREATE TABLE tombstone ("
                                                 " id INTEGER PRIMARY KEY AUTOINCREMENT,"
                                                 " tenant INTEGER NOT NULL,"
                                                 " address TEXT NOT NULL,"
                                                 " before_us INTEGER NOT NULL,"
                                                 " created_us INTEGER NOT NULL,"
                                                 " who TEXT NOT NULL,"
                                                 " UNIQUE (tenant, address)) STRICT;"
                                                 "CREATE TABLE retention ("
                                                 " tenant INTEGER NOT NULL REFERENCES tenant(id) ON DELETE "
                                                 "CASCADE,"
                                                 " kind TEXT NOT NULL,"
                                                 " keep_us INTEGER NOT NULL CHECK (keep_us >= 0),"
                                                 " PRIMARY KEY (tenant, kind)) STRICT, WITHOUT "
                                                 "ROWID;" LIMITED("tombstone", 1000000);

_Static_assert(JOBS_WAITING == JOBS_WAITING_LIMIT && JOBS_KEPT == JOBS_KEPT_LIMIT,
               "the schema's limits are job.h's");

/* People, and where they are logged in. */
static const char version_4[] = "CREATE TABLE user ("
                                " id INTEGER PRIMARY KEY AUTOINCREMENT,"
                                " name TEXT NOT NULL UNIQUE COLLATE NOCASE,"
                                " password TEXT NOT NULL,"
                                " created_us INTEGER NOT NULL,"
                                " changed_us INTEGER NOT NULL) STRICT;"
                                "CREATE TABLE session ("
                                " id INTEGER PRIMARY KEY AUTOINCREMENT,"
                                " hash BLOB NOT NULL UNIQUE,"
                                " user INTEGER NOT NULL REFERENCES user(id) ON DELETE CASCADE,"
                                " address BLOB NOT NULL CHECK (length(address) = 16),"
                                " created_us INTEGER NOT NULL,"
                                " seen_us INTEGER NOT NULL) STRICT;"
                                "CREATE INDEX session_user ON session (user);" LIMITED("user", 10000);

/* Answers to creating requests that may come again. Owner 0 is the operator. */
static const char version_5[] = "CREATE TABLE answer ("
                                " tenant INTEGER NOT NULL,"
                                " key BLOB NOT NULL,"
                                " request BLOB NOT NULL CHECK (length(request) = 32),"
                                " status INTEGER NOT NULL,"
                                " answer BLOB NOT NULL,"
                                " created_us INTEGER NOT NULL,"
                                " PRIMARY KEY (tenant, key)) STRICT;"
                                "CREATE INDEX answer_created ON answer (tenant, created_us);"
                                "CREATE TRIGGER answer_tenant AFTER DELETE ON tenant"
                                " BEGIN DELETE FROM answer WHERE tenant = OLD.id; END;"
                                "ALTER TABLE edge ADD COLUMN comment TEXT NOT NULL DEFAULT '';";

static const char *const steps[] = {version_1, version_2, version_3, version_4, version_5};
enum { VERSION_NOW = sizeof steps / sizeof *steps };

static int check_origin(struct account *a, int64_t version, struct err *err)
{
    int64_t id = 0, tables = 0;
    int rc = db_integer(a, &id, err, "PRAGMA application_id", NULL, 0);
    if (rc == 0)
        rc = db_integer(a, &tables, err, "SELECT count(*) FROM sqlite_master", NULL, 0);
    if (rc != 0)
        return rc;
    if (version > VERSION_NOW && id == SCHEMA_APPLICATION_ID)
        return err_set(err, ERR_VERSION,
                       "account file %s was written by a newer release (version %lld, this one knows %d)",
                       sqlite3_db_filename(a->db, "main"), (long long)version, (int)VERSION_NOW);
    if (id != SCHEMA_APPLICATION_ID && (tables > 0 || id != 0 || version != 0))
        return err_set(err, ERR_CORRUPT, "%s is a SQLite file, but not of Mail Analytics",
                       sqlite3_db_filename(a->db, "main"));
    return 0;
}

static int migrate_step(struct account *a, void *arg, struct err *err)
{
    (void)arg;
    int64_t version = 0;
    char pragmas[96];
    int rc = db_integer(a, &version, err, "PRAGMA user_version", NULL, 0);
    if (rc != 0 || version >= VERSION_NOW) /* another process was faster */
        return rc;
    rc = db_script(a, steps[version], err);
    (void)snprintf(pragmas, sizeof pragmas, "PRAGMA user_version = %d; PRAGMA application_id = %d",
                   (int)version + 1, (int)SCHEMA_APPLICATION_ID);
    return rc != 0 ? rc : db_script(a, pragmas, err);
}

/* All from one snapshot: another process may be making the tables now. */
static int look(struct account *a, int64_t *version, struct err *err)
{
    int rc = db_script(a, "BEGIN", err);
    if (rc != 0)
        return rc;
    rc = db_integer(a, version, err, "PRAGMA user_version", NULL, 0);
    if (rc == 0)
        rc = check_origin(a, *version, err);
    (void)!db_script(a, "ROLLBACK", NULL); /* nothing was written */
    return rc;
}

int schema_migrate(struct account *a, struct err *err)
{
    for (;;) {
        int64_t version = 0;
        int rc = look(a, &version, err);
        if (rc != 0 || version >= VERSION_NOW)
            return rc;
        if ((rc = account_atomically(a, migrate_step, NULL, err)) != 0)
            return rc;
    }
}
