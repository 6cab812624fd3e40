/* SPDX-License-Identifier: Apache-2.0
 *
 * nouns: how a tenant's things are written in JSON, for their handlers and for fixtures alike. A plain text
 * stands for the object with only its main field: "example.com", "192.0.2.0/24". Texts are borrowed from the
 * document. `tenant` is a known member only where the document doesn't say it otherwise.
 */
#ifndef API_NOUNS_H
#define API_NOUNS_H

#include "call.h"

/* {"name","kind":"own|relayed","subdomains":false} */
MUST_CHECK int domain_read(const struct field *item, enum domain_kind kind, struct account_domain *out);
/* {"prefix","trusted":true,"comment":""} */
MUST_CHECK int network_read(const struct field *item, struct account_network *out);
/* {"name","scopes":["ingest"],"addresses":[],"expires":"2026-12-31","key"}; *given is NULL without a key. */
MUST_CHECK int apikey_read(const struct field *item, struct account_key *out, const char **given);

/* The member tenant of an item (else ?tenant=) as an id the caller may touch. */
MUST_CHECK int noun_tenant(struct api_call *call, const struct field *item, uint32_t *tenant);

/* One apikey as a JSON object without a secret; secret: NULL or its text. */
MUST_CHECK int apikey_write(struct api_call *call, const struct account_key *key, const char *secret);

/* Within a transaction: the tombstone of an erasure (address "": the whole tenant) and its job. Then, when
 * that is committed, jobs_tell: 0 for a new job, or the one that was cancelled. */
MUST_CHECK int job_wish_erasure(struct api_call *call, uint32_t tenant, const char *address, uint64_t *id);
void jobs_tell(const struct api_call *call, uint64_t cancelled);

enum { FIXTURE_TENANTS = 100000 };

struct fixture_counts {
    size_t tenants, domains, networks, apikeys; /* added or changed */
};
/* What is told while it is taken: new keys without a given text, with their secret; tenants that were there
 * before and have other rules now, again with each. */
struct fixture_calls {
    int (*made)(void *arg, const char *tenant, const char *name, const char *secret);
    void (*ruled)(void *arg, uint32_t tenant);
    void *arg;
};

/* Takes a whole fixture file, all or nothing; the same again changes nothing. Errors name the JSON path. */
MUST_CHECK int fixture_load(struct account *a, const json_t *document, struct fixture_counts *counts,
                            const struct fixture_calls *calls, struct err *err);

#endif
