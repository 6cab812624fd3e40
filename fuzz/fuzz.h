/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz: the functions of a harness, as libFuzzer and replay.c call them.
 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Feeds bytes[0..n) to one parser. Always 0; what the parser must not do, the sanitizers and asserts catch.
 */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* What no input has reached so far, in a few words; NULL: all that a corpus must reach. A corpus that is
 * turned away at the door, since a format has changed, tests nothing behind it. */
const char *fuzz_unreached(void);

#endif
