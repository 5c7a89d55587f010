/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * vhostcore_memory.h - the guest's memory, for devices that look at it themselves.
 *
 * What is told here holds until the device ceases to run: raw_rings devices are stopped and started
 * again around every change of the memory table.
 */
#ifndef VHOSTCORE_MEMORY_H
#define VHOSTCORE_MEMORY_H

#include "vhostcore.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vhc_memory_region {
	uint64_t guest_addr;	/**< guest physical */
	uint64_t user_addr;	/**< the front-end's own */
	uint64_t size;
	void *host;		/**< first byte of the region here */
	void *mapping;		/**< what was mapped: the region, widened to whole pages */
	uint64_t mapping_size;
};

/**
 * The memory table: up to @p max regions, by rising guest address.
 *
 * @return number of regions there are, which may be more than @p max; 0: none are shared.
 * Context: any thread; waits for control.
 */
unsigned int vhc_device_memory(struct vhc_device *dev, struct vhc_memory_region *regions,
			       unsigned int max);

/**
 * Host pointer of a guest physical address.
 *
 * @param len Bytes wanted; receives those contiguous there, at most as many. 0: not mapped.
 * @return NULL if it is in no region.
 * Context: any thread; waits for control.
 */
void *vhc_device_guest_pointer(struct vhc_device *dev, uint64_t guest_addr, uint64_t *len);

/**
 * Who shares memory with us may make its file shorter, and touching what is missing is SIGBUS. With
 * the first memory that is shared we install a handler that puts zero pages there; then the device
 * drops that front-end and says so, and nothing else notices. What is not about memory that we
 * mapped goes to the handler that was there before, or has its default effect.
 *
 * @p on true, the default: install it, or put it on top again of one that was set since (this is
 * also done whenever memory is shared). False: restore what was there; called before the first
 * server is created, SIGBUS is never touched. @return 0 or -errno. Any thread.
 */
int vhc_sigbus_guard(bool on);

/**
 * What that handler does, for an application with one of its own: @p addr is si_addr of a SIGBUS
 * with si_code BUS_ADRERR or BUS_MCEERR_AR.
 *
 * @return true: return from the handler, and the access succeeds; false: it is not our memory.
 * Context: any thread, in a signal handler.
 */
bool vhc_sigbus_mend(const void *addr);

/** NUMA node of ring 0's memory, or else the first region's; -1: unknown. Any thread. */
int vhc_device_numa_node(struct vhc_device *dev);

/**
 * The feature bit with which a device says that all it writes is marked below. Chains do.
 * With raw_rings nobody marks what the application writes but itself, so it puts the bit into
 * vhc_server_opts.features_on, or the guest is not migrated while it runs here.
 */
#define VHC_FEATURE_LOG_ALL UINT64_C(0x04000000)

/**
 * Mark guest memory as written, for a migration. Nothing happens while none is logged (LOG_ALL was
 * not agreed on, no SET_LOG_BASE) and for what lies outside the log. Any thread; waits for nobody.
 */
void vhc_device_log_write(struct vhc_device *dev, uint64_t guest_addr, uint64_t len);

/** The same for bytes of a ring's used part (packed: descriptors), at @p offset of it. */
void vhc_device_log_used(struct vhc_device *dev, uint16_t ring, uint64_t offset, uint64_t len);

/** The log itself. @return 0; -ENOENT there is none. Any thread; waits for control. */
int vhc_device_log(struct vhc_device *dev, void **base, uint64_t *size);

/** What the guest's IOMMU lets the device reach, and how it came to be. */
struct vhc_iommu_info {
	bool is_on;		/**< ACCESS_PLATFORM was agreed on (VHC_FEATURE_ACCESS_PLATFORM) */
	uint32_t nr_readable;	/**< entries now, of what may be read */
	uint32_t nr_writable;	/**< ... and of what may be written */
	uint64_t nr_misses;	/**< addresses the front-end was asked for, so far */
	uint64_t nr_refused;	/**< ... that it did not translate */
	uint64_t nr_updates;	/**< what it told us, asked or not */
	uint64_t nr_invalidations;
};

/** Any thread; waits for control. */
void vhc_device_iommu(struct vhc_device *dev, struct vhc_iommu_info *info);

#ifdef __cplusplus
}
#endif

#endif
