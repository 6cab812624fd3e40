/* SPDX-License-Identifier: Apache-2.0
 *
 * nice: see nice.h. On Linux a priority is a thread's, not a process's.
 */
#include "base/nice.h"

#include <sys/resource.h>
#include <unistd.h>

void nice_lower(int nice)
{
    id_t self = (id_t)gettid();
    if (getpriority(PRIO_PROCESS, self) < nice)
        (void)setpriority(PRIO_PROCESS, self, nice);
}
