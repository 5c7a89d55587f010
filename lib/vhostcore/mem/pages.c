/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pages.c - see pages.h.
 *
 * Knows:   userfaultfd(2), /dev/userfaultfd.
 * Trusts:  the kernel.
 * Runs on: control thread; vhc_pages_give_up() and vhc_pages_are_awaited() on any.
 */
#define _GNU_SOURCE 1	/* MAP_ANONYMOUS, syscall() */

#include "pages.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../base/fd.h"

#define OPEN_FLAGS (O_CLOEXEC | O_NONBLOCK)

/* Linux 5.11 and 6.1; older headers lack what an older kernel refuses. */
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

struct page_source {
	int fd;
	struct region *first;	/* guarded by the lock */
};

/* The lists of regions, and whether one of them is still the guest's. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- opening -------------------------------------------------------------------------------- */

static int
open_by_device(void)
{
	int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	int fd = device < 0 ? -1 : ioctl(device, USERFAULTFD_IOC_NEW, OPEN_FLAGS);

	fd_close(&device);
	return fd;
}

/* With as many rights as can be had. The first error tells most of what is missing. */
static int
open_any(bool by_program_only)
{
	int fd = (int)syscall(SYS_userfaultfd, OPEN_FLAGS), err = errno;

	if (fd < 0 && err == EPERM)
		fd = open_by_device();
	if (fd < 0 && err == EPERM && by_program_only)
		fd = (int)syscall(SYS_userfaultfd, OPEN_FLAGS | UFFD_USER_MODE_ONLY);
	return fd < 0 ? -err : fd;
}

/* Asking for nothing special, one is told all that there is. */
static int
agree_on_api(int fd)
{
	struct uffdio_api api = { .api = UFFD_API };

	if (ioctl(fd, UFFDIO_API, &api) < 0)
		return -errno;
	return api.features & UFFD_FEATURE_MISSING_SHMEM ? 0 : -ENOSYS;
}

static int
explain(int err, char *reason)
{
	const char *what_to_do = err == -EPERM || err == -EACCES ?
		"run as root, or with CAP_SYS_PTRACE, or with access to /dev/userfaultfd, or set"
		" sysctl vm.unprivileged_userfaultfd=1" : err == -ENOSYS ?
		"it takes Linux 4.11 or later, with CONFIG_USERFAULTFD" :
		"raise the limit that was met";

	snprintf(reason, REGION_REASON_LEN, "userfaultfd(2), which postcopy needs: %s; %s",
		 strerror(-err), what_to_do);
	return err;
}

int
vhc_pages_create(bool by_program_only, struct page_source **out, char *reason)
{
	struct page_source *source;
	int fd = open_any(by_program_only), rc;

	if (fd < 0)
		return explain(fd, reason);
	rc = agree_on_api(fd);
	source = rc ? NULL : calloc(1, sizeof(*source));
	if (!source) {
		fd_close(&fd);
		return explain(rc ? rc : -ENOMEM, reason);
	}
	source->fd = fd;
	*out = source;
	return 0;
}

int
vhc_pages_share(const struct page_source *source)
{
	int fd = fcntl(source->fd, F_DUPFD_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

/* ---- regions -------------------------------------------------------------------------------- */

static struct uffdio_range
range_of(const struct region *region)
{
	return (struct uffdio_range){ (uintptr_t)region->mapping, region->mapping_len };
}

/*
 * A huge page of zeros must not come in the place of 512 small ones, so none are made; kernels
 * without them say EINVAL. Until here the mapping had no access rights, or mlockall(2) would have
 * fetched, which is to say made, every page.
 */
int
vhc_pages_watch(struct page_source *source, struct region *region)
{
	struct uffdio_register wish = {
		.range = range_of(region),
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	madvise(region->mapping, region->mapping_len, MADV_NOHUGEPAGE);
	if (ioctl(source->fd, UFFDIO_REGISTER, &wish) < 0 ||
	    mprotect(region->mapping, region->mapping_len, PROT_READ | PROT_WRITE) < 0)
		return -errno;
	pthread_mutex_lock(&lock);
	region->source = source;
	region->next_watched = source->first;
	source->first = region;
	pthread_mutex_unlock(&lock);
	return 0;
}

/* Needs the lock. */
static void
unlist(struct region *region)
{
	struct region **link = &region->source->first;

	while (*link != region)
		link = &(*link)->next_watched;
	*link = region->next_watched;
	region->source = NULL;
}

void
vhc_pages_forget(struct region *region)
{
	pthread_mutex_lock(&lock);
	if (region->source)
		unlist(region);
	pthread_mutex_unlock(&lock);
}

/* Who waits there goes on: the kernel tells him. */
static void
unregister(const struct page_source *source, const struct region *region)
{
	struct uffdio_range range = range_of(region);

	ioctl(source->fd, UFFDIO_UNREGISTER, &range);
}

/* The order matters: who is woken looks again, at what is there then. */
static void
replace(const struct page_source *source, const struct region *region)
{
	struct uffdio_range range = range_of(region);

	if (mmap(region->mapping, region->mapping_len, PROT_READ | PROT_WRITE,
		 MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED)
		unregister(source, region);
	ioctl(source->fd, UFFDIO_WAKE, &range);
}

/* Closing would not end it: others may have the descriptor open. */
static void
end_all(struct page_source *source, void (*end)(const struct page_source *, const struct region *))
{
	pthread_mutex_lock(&lock);
	while (source->first) {
		end(source, source->first);
		unlist(source->first);
	}
	pthread_mutex_unlock(&lock);
}

void
vhc_pages_give_up(struct page_source *source)
{
	end_all(source, replace);
}

void
vhc_pages_destroy(struct page_source *source)
{
	end_all(source, unregister);
	fd_close(&source->fd);
	free(source);
}

/* ---- who waits ------------------------------------------------------------------------------ */

bool
vhc_pages_are_awaited(const struct page_source *source)
{
	char path[64], line[64];
	unsigned long nr = 1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", source->fd);
	file = fopen(path, "re");
	if (!file)
		return true;
	while (fgets(line, sizeof(line), file) && sscanf(line, "total: %lu", &nr) != 1)
		;
	fclose(file);
	return nr > 0;
}
