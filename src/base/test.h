/* SPDX-License-Identifier: Apache-2.0
 *
 * test: what every unit test includes: cmocka with the headers it wants before it. For *_test.c only.
 */
#ifndef BASE_TEST_H
#define BASE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define ARRAY_LENGTH(array) (sizeof(array) / sizeof *(array))

#endif
