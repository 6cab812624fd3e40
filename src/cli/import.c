/* SPDX-License-Identifier: Apache-2.0
 *
 * import: see import.h.
 */
#include "import.h"

bool import_next(struct import_lines *lines, struct slice text)
{
    while (lines->at < text.n) {
        const char *start = text.p + lines->at, *end = memchr(start, '\n', text.n - lines->at);
        size_t n = end != NULL ? (size_t)(end - start) : text.n - lines->at;
        lines->at += n + 1;
        lines->number++;
        if (n > 0 && start[n - 1] == '\r')
            n--;
        lines->line = slice_trim((struct slice){start, n});
        if (lines->line.n > 0 && lines->line.p[0] != '#')
            return true;
    }
    return false;
}

size_t import_number_of(struct slice text, size_t index)
{
    struct import_lines lines = {0};
    for (size_t i = 0; i <= index; i++)
        if (!import_next(&lines, text))
            break;
    return lines.number;
}

static int set_text(json_t *item, const char *name, struct slice value, struct err *err)
{
    if (json_object_set_new(item, name, json_stringn(value.p != NULL ? value.p : "", value.n)) != 0)
        return err_set(err, ERR_INVALID, "the line is not valid UTF-8");
    return 0;
}

static int set_list(json_t *item, const char *name, struct slice value, struct err *err)
{
    json_t *list = json_array();
    struct slice part;
    bool good = list != NULL;
    while (good && slice_split(&value, '+', &part)) {
        part = slice_trim(part);
        good = json_array_append_new(list, json_stringn(part.p, part.n)) == 0;
    }
    if (!good) {
        json_decref(list);
        return err_set(err, ERR_INVALID, "the line is not valid UTF-8");
    }
    return json_object_set_new(item, name, list) == 0 ? 0 : err_set(err, ERR_NO_MEMORY, "out of memory");
}

static bool next_field(struct slice *rest, struct slice *field)
{
    if (!slice_split(rest, ',', field))
        return false;
    *field = slice_trim(*field);
    return true;
}

/* "word" or "other": *is_word says which. */
static int choose(struct slice field, const char *word, const char *other, bool *is_word, struct err *err)
{
    *is_word = slice_equal(field, slice_of(word));
    if (!*is_word && !slice_equal(field, slice_of(other)))
        return err_set(err, ERR_INVALID, "'%.*s' must be '%s' or '%s'", field.n < 60 ? (int)field.n : 60,
                       field.p, word, other);
    return 0;
}

static int tenant_line(struct slice rest, json_t *item, struct err *err)
{
    return set_text(item, "name", rest, err);
}

static int domain_line(struct slice rest, json_t *item, struct err *err)
{
    struct slice field;
    bool own = true;
    int rc = next_field(&rest, &field) ? set_text(item, "name", field, err) : 0;
    if (rc == 0 && next_field(&rest, &field) && (rc = choose(field, "own", "relayed", &own, err)) == 0)
        rc = set_text(item, "kind", field, err);
    if (rc == 0 && next_field(&rest, &field)) {
        if (!slice_equal(field, SLICE("subdomains")) || rest.n > 0)
            return err_set(err, ERR_INVALID, "write NAME[,own|relayed[,subdomains]]");
        (void)json_object_set_new(item, "subdomains", json_true());
    }
    return rc;
}

static int network_line(struct slice rest, json_t *item, struct err *err)
{
    struct slice field;
    bool trusted = true;
    int rc = next_field(&rest, &field) ? set_text(item, "prefix", field, err) : 0;
    if (rc == 0 && next_field(&rest, &field) &&
        (rc = choose(field, "trusted", "untrusted", &trusted, err)) == 0)
        (void)json_object_set_new(item, "trusted", json_boolean(trusted));
    if (rc == 0 && rest.n > 0) /* the rest, commas and all */
        rc = set_text(item, "comment", slice_trim(rest), err);
    return rc;
}

static int apikey_line(struct slice rest, json_t *item, struct err *err)
{
    struct slice field;
    int rc = next_field(&rest, &field) ? set_text(item, "name", field, err) : 0;
    if (rc == 0 && next_field(&rest, &field))
        rc = set_list(item, "scopes", field, err);
    if (rc == 0 && next_field(&rest, &field))
        rc = set_list(item, "addresses", field, err);
    if (rc == 0 && rest.n > 0)
        rc = err_set(err, ERR_INVALID, "write NAME,SCOPE[+SCOPE...][,ADDRESS[+ADDRESS...]]");
    return rc;
}

int import_line(const char *noun, struct slice line, json_t *item, struct err *err)
{
    static const struct {
        const char *noun;
        int (*read)(struct slice, json_t *, struct err *);
    } readers[] = {
        {"tenant", tenant_line}, {"domain", domain_line}, {"network", network_line}, {"apikey", apikey_line}};
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
        if (strcmp(readers[i].noun, noun) == 0)
            return readers[i].read(line, item, err);
    return err_set(err, ERR_USAGE, "%ss can't be imported", noun);
}
