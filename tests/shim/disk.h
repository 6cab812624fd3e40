/* SPDX-License-Identifier: Apache-2.0
 *
 * disk: a disk that hangs or fails on command, inside a test program. Link disk.c with the linker's
 * --wrap=pwritev64 (what pwritev is with 64-bit offsets) and --wrap=fdatasync. Any thread.
 */
#ifndef SHIM_DISK_H
#define SHIM_DISK_H

#include <stdbool.h>

void disk_hang(bool hang);                         /* writes and syncs wait until it is taken back */
void disk_fail_syncs(int errnum, unsigned times);  /* the next fdatasyncs */
void disk_fail_writes(int errnum, unsigned times); /* the next writes, after half their bytes */
void disk_hang_writes(bool hang);                  /* writes only */
void disk_hang_syncs(bool hang);                   /* syncs only */
void disk_hang_after_writes(bool hang);            /* writes are done, but do not return */
unsigned disk_waiting(void);                       /* calls that hang now */

#endif
