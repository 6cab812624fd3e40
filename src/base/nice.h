/* SPDX-License-Identifier: Apache-2.0
 *
 * nice: threads whose work can wait give way to mail and to what stores it (nice(1), setpriority(2)).
 */
#ifndef BASE_NICE_H
#define BASE_NICE_H

/* One value for all that can wait: what takes events from the spool to the hub, and what runs beside the
 * loader, questions and jobs alike. Lower ones would starve those that others of them, or the loader, wait
 * for; on a processor that is busy with mail it still gets a tenth. */
enum { NICE_BACKGROUND = 10 };

/* Lowers the calling thread's priority to that, for good: a thread without privileges can't take back what it
 * gave up. Threads that it starts inherit it. Refused or not, the work goes on. */
void nice_lower(int nice);

#endif
