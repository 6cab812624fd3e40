/* SPDX-License-Identifier: Apache-2.0
 *
 * text: see text.h. The UTF-8 check follows the table of RFC 3629, section 4.
 */
#include "text.h"

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool slice_equal_nocase(struct slice a, struct slice b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct slice slice_trim(struct slice s)
{
    while (s.n > 0 && is_blank(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

bool slice_split(struct slice *rest, char sep, struct slice *part)
{
    if (rest->p == NULL || rest->n == 0)
        return false;
    const char *at = memchr(rest->p, sep, rest->n);
    if (at == NULL) {
        *part = *rest;
        *rest = (struct slice){NULL, 0};
        return true;
    }
    size_t n = (size_t)(at - rest->p);
    *part = (struct slice){rest->p, n};
    *rest = (struct slice){at + 1, rest->n - n - 1};
    return true;
}

int slice_to_string(struct slice s, char *out, size_t size)
{
    if (s.n >= size)
        return ERR_LIMIT;
    if (s.n > 0)
        memcpy(out, s.p, s.n);
    out[s.n] = '\0';
    return 0;
}

int text_to_u64(struct slice s, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    if (s.n == 0)
        return ERR_INVALID;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return ERR_INVALID;
        uint64_t digit = (uint64_t)(s.p[i] - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return ERR_LIMIT;
        value = value * 10 + digit;
    }
    if (value > max)
        return ERR_LIMIT;
    *out = value;
    return 0;
}

/* Splits "12ms" into its digits and its unit. */
static int number_and_unit(struct slice s, uint64_t *value, struct slice *unit)
{
    size_t digits = 0;
    while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9')
        digits++;
    *unit = (struct slice){s.p + digits, s.n - digits};
    return text_to_u64((struct slice){s.p, digits}, UINT64_MAX, value);
}

struct unit {
    const char *name;
    uint64_t factor;
};

static int scaled(struct slice s, const struct unit *units, size_t count, uint64_t max, uint64_t *out)
{
    uint64_t value;
    struct slice name;
    int rc = number_and_unit(s, &value, &name);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < count; i++)
        if (slice_equal(name, slice_of(units[i].name))) {
            if (value > max / units[i].factor)
                return ERR_LIMIT;
            *out = value * units[i].factor;
            return 0;
        }
    return ERR_INVALID;
}

int text_to_duration_us(struct slice s, int64_t *out)
{
    static const struct unit units[] = {{"us", 1},           {"ms", 1000},        {"", 1000000},
                                        {"s", 1000000},      {"m", 60000000},     {"h", 3600000000},
                                        {"d", 86400000000U}, {"w", 604800000000U}};
    uint64_t value;
    int rc = scaled(s, units, sizeof units / sizeof *units, INT64_MAX, &value);
    if (rc == 0)
        *out = (int64_t)value;
    return rc;
}

int text_to_bytes(struct slice s, uint64_t *out)
{
    static const struct unit units[] = {
        {"", 1}, {"k", 1U << 10}, {"K", 1U << 10}, {"M", 1U << 20}, {"G", 1U << 30}};
    return scaled(s, units, sizeof units / sizeof *units, UINT64_MAX, out);
}

void text_to_hex(const void *bytes, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
    out[2 * n] = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int text_from_hex(struct slice s, void *out, size_t n)
{
    unsigned char *bytes = out;
    if (s.n != 2 * n)
        return ERR_INVALID;
    for (size_t i = 0; i < n; i++) {
        int high = hex_digit(s.p[2 * i]), low = hex_digit(s.p[2 * i + 1]);
        if (high < 0 || low < 0)
            return ERR_INVALID;
        bytes[i] = (unsigned char)(high << 4 | low);
    }
    return 0;
}

int text_from_percent(struct slice s, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i] == '+' ? ' ' : s.p[i];
        if (c == '%') {
            int high = i + 2 < s.n ? hex_digit(s.p[i + 1]) : -1;
            int low = i + 2 < s.n ? hex_digit(s.p[i + 2]) : -1;
            if (high < 0 || low < 0)
                return ERR_INVALID;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (c == '\0')
            return ERR_INVALID;
        if (n + 1 >= size)
            return ERR_LIMIT;
        out[n++] = c;
    }
    out[n] = '\0';
    return 0;
}

void text_lower(struct slice s, char *out)
{
    for (size_t i = 0; i < s.n; i++)
        out[i] = lower(s.p[i]);
}

static bool in_range(unsigned char c, unsigned char from, unsigned char to)
{
    return c >= from && c <= to;
}

/* Bytes of the well-formed sequence at p (n bytes left), 0 when there is none. */
static size_t utf8_sequence(const unsigned char *p, size_t n)
{
    unsigned char lo = 0x80, hi = 0xbf;
    size_t tail;
    if (p[0] == 0)
        return 0;
    if (p[0] < 0x80)
        return 1;
    if (in_range(p[0], 0xc2, 0xdf)) {
        tail = 1;
    } else if (in_range(p[0], 0xe0, 0xef)) {
        tail = 2;
        lo = p[0] == 0xe0 ? 0xa0 : lo;
        hi = p[0] == 0xed ? 0x9f : hi;
    } else if (in_range(p[0], 0xf0, 0xf4)) {
        tail = 3;
        lo = p[0] == 0xf0 ? 0x90 : lo;
        hi = p[0] == 0xf4 ? 0x8f : hi;
    } else {
        return 0;
    }
    if (tail + 1 > n || !in_range(p[1], lo, hi))
        return 0;
    for (size_t i = 2; i <= tail; i++)
        if (!in_range(p[i], 0x80, 0xbf))
            return 0;
    return tail + 1;
}

bool text_is_utf8(struct slice s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    for (size_t i = 0; i < s.n;) {
        size_t step = utf8_sequence(p + i, s.n - i);
        if (step == 0)
            return false;
        i += step;
    }
    return true;
}

size_t text_escape_invalid(struct slice s, char *out)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t n = 0;
    for (size_t i = 0; i < s.n;) {
        size_t step = utf8_sequence(p + i, s.n - i);
        if (step > 0) {
            memcpy(out + n, p + i, step);
            n += step;
            i += step;
            continue;
        }
        char hex[3];
        text_to_hex(p + i, 1, hex);
        memcpy(out + n, "\\x", 2);
        memcpy(out + n + 2, hex, 2);
        n += 4;
        i++;
    }
    return n;
}
