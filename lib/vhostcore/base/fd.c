/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fd.c - say which limit is in the way, and what to type.
 *
 * Knows:   the limits on open files.
 * Trusts:  the kernel.
 * Runs on: any thread.
 */
#include "fd.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

static void
explain_process_limit(char *text)
{
	struct rlimit limit;
	unsigned long may, could;

	getrlimit(RLIMIT_NOFILE, &limit);
	may = (unsigned long)limit.rlim_cur;
	could = (unsigned long)limit.rlim_max;
	if (may < could)
		snprintf(text, FD_ERROR_LEN, "this process may have %lu files open (RLIMIT_NOFILE);"
			 " ulimit -n %lu before it starts, or LimitNOFILE=%lu in its systemd unit",
			 may, could, could);
	else
		snprintf(text, FD_ERROR_LEN, "this process may have %lu files open (RLIMIT_NOFILE),"
			 " and only root can allow more: prlimit --nofile=, or LimitNOFILE= in its"
			 " systemd unit", may);
}

const char *
vhc_fd_error_text(int err, char *text)
{
	if (err == -EMFILE)
		explain_process_limit(text);
	else if (err == -ENFILE)
		snprintf(text, FD_ERROR_LEN, "all processes together have as many files open as"
			 " they may; as root: sysctl fs.file-max");
	else
		snprintf(text, FD_ERROR_LEN, "%s", strerror(-err));
	return text;
}
