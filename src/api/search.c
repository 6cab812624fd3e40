/* SPDX-License-Identifier: Apache-2.0
 *
 * search: see search.h. What an operator pastes from a log or types from memory. Queue ids as Postfix writes
 * them (short: hexadecimal; long: 52 letters and digits without vowels, with a z in it); instances are three
 * or four hexadecimal numbers with dots.
 */
#include "search.h"

#include "base/ip.h"

enum { QUEUE_ID_MIN = 6, QUEUE_ID_MAX = 20, ID_DIGITS = 32, TEXT_MAX = 1024 };

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t count_of(struct slice text, char c)
{
    size_t count = 0;
    for (size_t i = 0; i < text.n; i++)
        count += text.p[i] == c;
    return count;
}

static bool all_are(struct slice text, bool (*is)(char), const char *also)
{
    for (size_t i = 0; i < text.n; i++)
        if (!is(text.p[i]) && strchr(also, text.p[i]) == NULL)
            return false;
    return text.n > 0;
}

static bool is_of_long_queue_id(char c)
{
    return is_digit(c) ||
           (((c >= 'B' && c <= 'Z') || (c >= 'b' && c <= 'z')) && strchr("EIOUeiou", c) == NULL);
}

static bool looks_like_queue_id(struct slice text)
{
    bool upper_hex = all_are(text, is_hex, "");
    for (size_t i = 0; i < text.n; i++)
        upper_hex = upper_hex && !(text.p[i] >= 'a' && text.p[i] <= 'f');
    bool has_digit = false;
    for (size_t i = 0; i < text.n; i++)
        has_digit = has_digit || is_digit(text.p[i]);
    return text.n >= QUEUE_ID_MIN && text.n <= QUEUE_ID_MAX && has_digit &&
           (upper_hex ||
            (text.n >= 10 && all_are(text, is_of_long_queue_id, "") && memchr(text.p, 'z', text.n) != NULL));
}

static bool looks_like_instance(struct slice text)
{
    size_t dots = count_of(text, '.');
    return (dots == 2 || dots == 3) && all_are(text, is_hex, ".") && text.p[0] != '.' &&
           text.p[text.n - 1] != '.';
}

static bool is_of_domain(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c & 0x80) != 0 || c == '-' ||
           c == '_';
}

static bool looks_like_domain(struct slice text)
{
    return memchr(text.p, '.', text.n) != NULL && all_are(text, is_of_domain, ".") &&
           text.p[text.n - 1] != '.';
}

static void add(json_t *any, const char *column, const char *op, struct slice value)
{
    (void)json_array_append_new(
        any, json_pack("{s:s, s:s, s:[s%]}", "column", column, "op", op, "values", value.p, value.n));
}

static void add_all(json_t *any, const char *const *columns, const char *op, struct slice value)
{
    for (; *columns != NULL; columns++)
        add(any, *columns, op, value);
}

/* A local part keeps its letters; most are written small. */
static void add_address(json_t *any, struct slice text)
{
    static const char *const columns[] = {"sender", "recipient", "sasl_username", NULL};
    char lower[TEXT_MAX];
    add_all(any, columns, "eq", text);
    text_lower(text, lower);
    if (memcmp(lower, text.p, text.n) != 0)
        add_all(any, columns, "eq", (struct slice){lower, text.n});
}

static void add_domain(json_t *any, struct slice text)
{
    static const char *const exact[] = {"sender_domain", "recipient_domain", "client_name", "helo_name",
                                        NULL};
    char below[TEXT_MAX + 1] = ".";
    memcpy(below + 1, text.p, text.n);
    add_all(any, exact, "eq", text);
    add_all(any, exact, "suffix", (struct slice){below, text.n + 1});
}

json_t *search_filter(struct slice text)
{
    static const char *const parts[] = {"sender",    "recipient",     "client_name",
                                        "helo_name", "sasl_username", NULL};
    static const char *const domains[] = {"sender_domain", "recipient_domain", NULL};
    struct ip_prefix prefix;
    json_t *any = json_array();
    const char *at = memchr(text.p, '@', text.n);
    bool is_short = text.n < TEXT_MAX;
    if (text.n == ID_DIGITS && all_are(text, is_hex, ""))
        add(any, "message_id", "eq", text);
    else if (ip_prefix_parse(text, &prefix) == 0)
        add(any, "client_address", "cidr", text);
    else if (at == text.p && text.n > 1)
        add_all(any, domains, "eq", (struct slice){text.p + 1, text.n - 1});
    else if (at != NULL && is_short)
        add_address(any, text);
    else if (looks_like_instance(text))
        add(any, "instance", "eq", text);
    else if (is_short && looks_like_domain(text))
        add_domain(any, text);
    else
        add_all(any, parts, "contains", text);
    if (looks_like_queue_id(text))
        add(any, "queue_id", "eq", text);
    if (json_array_size(any) != 1)
        return json_pack("{s:o}", "or", any);
    json_t *one = json_incref(json_array_get(any, 0));
    json_decref(any);
    return one;
}
