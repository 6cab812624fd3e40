/* SPDX-License-Identifier: Apache-2.0
 *
 * tar: see tar.h.
 */
#include "tar.h"

#include <inttypes.h>
#include <stdio.h>

/* Where the fields of a head stand. */
enum {
    AT_NAME = 0,
    AT_MODE = 100,
    AT_UID = 108,
    AT_GID = 116,
    AT_SIZE = 124,
    AT_TIME = 136,
    AT_SUM = 148,
    AT_TYPE = 156,
    AT_MAGIC = 257,
    AT_PREFIX = 345,
    NAME_FIELD = 100,
    SIZE_FIELD = 12,
    SUM_FIELD = 8,
    PREFIX_FIELD = 155,
};
static const uint64_t largest_plain = 077777777777; /* 8 GiB - 1 */
static const char magic[8] = "ustar\00000";

/* Of all bytes, the sum's own as spaces. */
static unsigned sum_of(const uint8_t *block)
{
    unsigned sum = 0;
    for (size_t i = 0; i < TAR_BLOCK_BYTES; i++)
        sum += i >= AT_SUM && i < AT_SUM + SUM_FIELD ? ' ' : block[i];
    return sum;
}

static void put(uint8_t *block, size_t at, const char *text)
{
    memcpy(block + at, text, strlen(text));
}

static void put_head(uint8_t *block, const char *name, uint64_t bytes, char type)
{
    char text[32];
    memset(block, 0, TAR_BLOCK_BYTES);
    memcpy(block + AT_NAME, name, strnlen(name, NAME_FIELD));
    put(block, AT_MODE, "0000600");
    put(block, AT_UID, "0000000");
    put(block, AT_GID, "0000000");
    (void)snprintf(text, sizeof text, "%011" PRIo64, bytes <= largest_plain ? bytes : 0);
    put(block, AT_SIZE, text);
    put(block, AT_TIME, "00000000000");
    block[AT_TYPE] = (uint8_t)type;
    memcpy(block + AT_MAGIC, magic, sizeof magic);
    (void)snprintf(text, sizeof text, "%06o", sum_of(block));
    memcpy(block + AT_SUM, text, 7);
    block[AT_SUM + 7] = ' ';
}

/* "LENGTH key=value\n", where LENGTH counts itself. */
static size_t put_record(char *out, const char *key, const char *value)
{
    size_t rest = strlen(key) + strlen(value) + 3, length = rest + 1;
    for (char digits[24]; length != rest + (size_t)snprintf(digits, sizeof digits, "%zu", length);)
        length = rest + strlen(digits);
    return (size_t)snprintf(out, TAR_PAX_BYTES / 2, "%zu %s=%s\n", length, key, value);
}

int tar_write(const char *name, uint64_t bytes, uint8_t out[TAR_HEAD_BYTES], size_t *n, struct err *err)
{
    char size[24];
    size_t used = 0;
    *n = 0;
    if (strlen(name) >= TAR_NAME_BYTES)
        return err_set(err, ERR_LIMIT, "%.80s is too long a name", name);
    if (strlen(name) > NAME_FIELD || bytes > largest_plain) {
        char *records = (char *)out + TAR_BLOCK_BYTES;
        memset(records, 0, TAR_PAX_BYTES);
        used = put_record(records, "path", name);
        (void)snprintf(size, sizeof size, "%" PRIu64, bytes);
        used += put_record(records + used, "size", size);
        put_head(out, "pax", used, 'x');
        *n = TAR_BLOCK_BYTES + used + tar_padding(used);
    }
    put_head(out + *n, name, bytes, '0');
    *n += TAR_BLOCK_BYTES;
    return 0;
}

/* Octal digits, ended by a space or NUL or the field. */
static bool read_octal(const uint8_t *field, size_t n, uint64_t *out)
{
    size_t i = 0;
    for (*out = 0; i < n && field[i] >= '0' && field[i] <= '7'; i++)
        *out = *out * 8 + (uint64_t)(field[i] - '0');
    return i > 0 && (i == n || field[i] == ' ' || field[i] == '\0');
}

static bool is_zero(const uint8_t *block)
{
    for (size_t i = 0; i < TAR_BLOCK_BYTES; i++)
        if (block[i] != 0)
            return false;
    return true;
}

static void read_name(const uint8_t *block, char *out)
{
    const char *name = (const char *)block + AT_NAME, *prefix = (const char *)block + AT_PREFIX;
    int prefix_n = (int)strnlen(prefix, PREFIX_FIELD), name_n = (int)strnlen(name, NAME_FIELD);
    (void)snprintf(out, TAR_NAME_BYTES, "%.*s%s%.*s", prefix_n, prefix, prefix_n > 0 ? "/" : "", name_n,
                   name);
}

int tar_read(const uint8_t block[TAR_BLOCK_BYTES], struct tar_entry *out, struct err *err)
{
    uint64_t sum;
    *out = (struct tar_entry){.type = TAR_END};
    if (is_zero(block))
        return 0;
    if (memcmp(block + AT_MAGIC, magic, sizeof magic) != 0 || !read_octal(block + AT_SUM, SUM_FIELD, &sum) ||
        sum != sum_of(block) || !read_octal(block + AT_SIZE, SIZE_FIELD, &out->bytes))
        return err_set(err, ERR_INVALID, "it is no archive of ours, or damaged");
    read_name(block, out->name);
    char type = (char)block[AT_TYPE];
    if (type != '0' && type != 'x')
        return err_set(err, ERR_INVALID, "it has something that is no file");
    if (type == 'x' && out->bytes > TAR_PAX_BYTES)
        return err_set(err, ERR_INVALID, "it has too long a header");
    out->type = type == 'x' ? TAR_PAX : TAR_FILE;
    return 0;
}

static int take_record(struct slice key, struct slice value, struct tar_entry *entry, struct err *err)
{
    if (slice_equal(key, SLICE("path"))) {
        if (memchr(value.p, '\0', value.n) != NULL ||
            slice_to_string(value, entry->name, sizeof entry->name) != 0)
            return err_set(err, ERR_INVALID, "it has a name that is too long");
        return 0;
    }
    if (!slice_equal(key, SLICE("size")))
        return err_set(err, ERR_INVALID, "it has a header of another kind");
    entry->bytes = 0;
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] < '0' || value.p[i] > '9' || i >= 18) /* below 2^63 */
            return err_set(err, ERR_INVALID, "it has a size that is none");
        entry->bytes = entry->bytes * 10 + (uint64_t)(value.p[i] - '0');
    }
    return value.n > 0 ? 0 : err_set(err, ERR_INVALID, "it has a size that is none");
}

int tar_pax(struct slice rest, struct tar_entry *entry, struct err *err)
{
    while (rest.n > 0) {
        size_t length = 0, i = 0;
        for (; i < rest.n && i < 5 && rest.p[i] >= '0' && rest.p[i] <= '9'; i++)
            length = length * 10 + (size_t)(rest.p[i] - '0');
        if (i == 0 || length > rest.n || length < i + 3 || rest.p[i] != ' ' || rest.p[length - 1] != '\n')
            return err_set(err, ERR_INVALID, "it has a header that is not well formed");
        struct slice value = {rest.p + i + 1, length - i - 2}, key;
        if (memchr(value.p, '=', value.n) == NULL || !slice_split(&value, '=', &key))
            return err_set(err, ERR_INVALID, "it has a header that is not well formed");
        int rc = take_record(key, value, entry, err);
        if (rc != 0)
            return rc;
        rest = (struct slice){rest.p + length, rest.n - length};
    }
    return 0;
}
