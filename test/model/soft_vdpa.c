/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * soft_vdpa.c - see soft_vdpa.h.
 */
#define _GNU_SOURCE 1	/* memfd_create() */

#include "soft_vdpa.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "spec/vhost_user.h"
#include "spec/virtio_ring.h"
#include "vhostcore_memory.h"
#include "vhostcore_ring.h"

#define BIT(n)		(UINT64_C(1) << (n))
#define REGIONS_MAX	16
#define PACKET_MAX	65536
#define NUM_BUFFERS_AT	10	/* in the packet's header */
#define PAUSE_US	100
#define MRG_RXBUF_BIT	15
#define READ_ONLY_LEN	8	/* bytes of the configuration that drivers cannot write */

struct soft_ring {
	bool is_on;
	struct vhc_queue *q;
	struct vhc_queue_memory at;
	uint16_t taken;
	uint16_t used;
	uint64_t nr_chains;
	uint64_t nr_bytes;
};

struct soft_vdpa {
	struct vhc_vdpa *vdpa;
	pthread_t thread;
	pthread_mutex_t lock;	/* guards the rest */
	bool is_ending;
	uint16_t nr_rings;
	struct vhc_device *dev;	/* NULL: it serves nobody */
	struct soft_ring rings[SOFT_VDPA_RINGS_MAX];
	struct vhc_memory_region regions[REGIONS_MAX];
	unsigned int nr_regions;
	uint8_t config[SOFT_VDPA_CONFIG_LEN];
	int area_fd;
	int refusal;
	struct soft_vdpa_seen seen;
	uint8_t packet[PACKET_MAX];
};

/* ---- memory and rings ----------------------------------------------------------------------- */

static uint8_t *
dma(const struct soft_vdpa *soft, uint64_t guest, uint32_t len)
{
	for (unsigned int i = 0; i < soft->nr_regions; i++) {
		const struct vhc_memory_region *r = &soft->regions[i];

		if (guest - r->guest_addr < r->size && len <= r->size - (guest - r->guest_addr))
			return (uint8_t *)r->host + (guest - r->guest_addr);
	}
	return NULL;
}

static uint16_t
avail_idx(const struct soft_ring *r)
{
	const struct virtq_avail *avail = r->at.driver;

	return __atomic_load_n(&avail->idx.raw, __ATOMIC_ACQUIRE);
}

static bool
has_work(const struct soft_ring *r)
{
	return r->is_on && avail_idx(r) != r->taken;
}

/*
 * Between the chain's memory and the packet, in the direction the flag says; returns how many bytes
 * it were, and the chain's head.
 */
static uint32_t
transfer(struct soft_vdpa *soft, struct soft_ring *r, bool to_guest, uint32_t want, uint16_t *head)
{
	const struct virtq_avail *avail = r->at.driver;
	const struct virtq_desc *desc = r->at.desc;
	uint16_t slot = le16_get(avail->ring[r->taken % r->at.size]);
	uint32_t done = 0;

	*head = slot;
	for (unsigned int n = 0; n < r->at.size; n++) {
		uint32_t len = le32_get(desc[slot].len), room = want - done;
		uint8_t *at;

		len = len < room ? len : room;
		at = dma(soft, le64_get(desc[slot].addr), len);
		if (!at || !(le16_get(desc[slot].flags) & VIRTQ_DESC_F_WRITE) == to_guest)
			break;
		if (to_guest)
			memcpy(at, soft->packet + done, len);
		else
			memcpy(soft->packet + done, at, len);
		if (to_guest && soft->seen.features & BIT(VHOST_F_LOG_ALL_BIT))
			vhc_device_log_write(soft->dev, le64_get(desc[slot].addr), len);
		done += len;
		if (!(le16_get(desc[slot].flags) & VIRTQ_DESC_F_NEXT))
			break;
		slot = le16_get(desc[slot].next) % r->at.size;
	}
	r->taken++;
	return done;
}

static void
give(struct soft_vdpa *soft, struct soft_ring *r, uint16_t head, uint32_t written)
{
	struct virtq_used *used = r->at.device;
	uint16_t slot = r->used % r->at.size, index = (uint16_t)(r - soft->rings);

	used->ring[slot] = (struct virtq_used_elem){ { htole32(head) }, { htole32(written) } };
	r->used++;
	__atomic_store_n(&used->idx.raw, htole16(r->used), __ATOMIC_RELEASE);
	if (soft->seen.features & BIT(VHOST_F_LOG_ALL_BIT)) {
		vhc_device_log_used(soft->dev, index, 4 + 8u * slot, 8);
		vhc_device_log_used(soft->dev, index, 2, 2);
	}
	vhc_queue_call(r->q);
}

static void
loop_back(struct soft_vdpa *soft, struct soft_ring *receive, struct soft_ring *send)
{
	uint32_t len, written;
	uint16_t head;

	len = transfer(soft, send, false, PACKET_MAX, &head);
	give(soft, send, head, 0);
	send->nr_chains++;
	send->nr_bytes += len;
	soft->packet[NUM_BUFFERS_AT] = 1;
	written = transfer(soft, receive, true, len, &head);
	give(soft, receive, head, written);
	receive->nr_chains++;
	receive->nr_bytes += written;
}

static bool
serve(struct soft_vdpa *soft)
{
	bool found = false;

	for (uint16_t i = 0; soft->dev && i + 1 < soft->nr_rings; i += 2)
		if (has_work(&soft->rings[i]) && has_work(&soft->rings[i + 1])) {
			loop_back(soft, &soft->rings[i], &soft->rings[i + 1]);
			found = true;
		}
	return found;
}

static void *
run(void *arg)
{
	struct soft_vdpa *soft = arg;
	bool is_ending, found;

	do {
		pthread_mutex_lock(&soft->lock);
		is_ending = soft->is_ending;
		found = serve(soft);
		pthread_mutex_unlock(&soft->lock);
		if (!found)
			usleep(PAUSE_US);
	} while (!is_ending);
	return NULL;
}

/* ---- what the library asks ------------------------------------------------------------------ */

static int
tell_nr_rings(void *arg, uint16_t *nr)
{
	*nr = ((struct soft_vdpa *)arg)->nr_rings;
	return 0;
}

/* ACCESS_PLATFORM is what hardware has, and vhost-user without address translation cannot. */
static int
tell_features(void *arg, uint64_t *features)
{
	(void)arg;
	*features = BIT(VIRTIO_F_VERSION_1_BIT) | BIT(VIRTIO_F_ACCESS_PLATFORM_BIT) |
		    BIT(MRG_RXBUF_BIT) | BIT(VHOST_F_LOG_ALL_BIT);
	return 0;
}

static int
tell_protocol_features(void *arg, uint64_t *features)
{
	(void)arg;
	*features = BIT(VHOST_USER_PROTOCOL_F_MQ_BIT) | BIT(VHOST_USER_PROTOCOL_F_LOG_SHMFD_BIT) |
		    BIT(VHOST_USER_PROTOCOL_F_RARP_BIT) | BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK_BIT) |
		    BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ_BIT) |
		    BIT(VHOST_USER_PROTOCOL_F_CONFIG_BIT) |
		    BIT(VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD_BIT) |
		    BIT(VHOST_USER_PROTOCOL_F_HOST_NOTIFIER_BIT) |
		    BIT(VHOST_USER_PROTOCOL_F_STATUS_BIT);
	return 0;
}

static void
start_ring(struct soft_vdpa *soft, uint16_t index)
{
	struct soft_ring *r = &soft->rings[index];

	r->q = vhc_device_queue(soft->dev, index);
	r->is_on = vhc_queue_memory(r->q, &r->at) == 0;
	if (!r->is_on)
		return;
	vhc_queue_base(r->q, &r->taken, &r->used);
	soft->seen.rings_on |= 1u << index;
}

static void
stop_ring(struct soft_vdpa *soft, uint16_t index)
{
	struct soft_ring *r = &soft->rings[index];

	if (r->is_on)
		vhc_queue_set_base(r->q, r->taken, r->used);
	r->is_on = false;
	soft->seen.rings_on &= ~(1u << index);
}

static int
dev_conf(struct vhc_device *dev, void *arg)
{
	struct soft_vdpa *soft = arg;
	struct vhc_device_info info;
	int rc;

	vhc_device_info(dev, &info);
	pthread_mutex_lock(&soft->lock);
	rc = soft->refusal;
	if (rc == 0) {
		soft->dev = dev;
		soft->seen.features = info.features;
		soft->nr_regions = vhc_device_memory(dev, soft->regions, REGIONS_MAX);
		for (uint16_t i = 0; i < info.nr_rings; i++)
			start_ring(soft, i);
		soft->seen.nr_conf++;
		soft->seen.notify_rc = vhc_vdpa_notify_host(dev, VHC_NO_RING, true);
	}
	pthread_mutex_unlock(&soft->lock);
	return rc;
}

static void
dev_close(struct vhc_device *dev, void *arg)
{
	struct soft_vdpa *soft = arg;

	(void)dev;
	pthread_mutex_lock(&soft->lock);
	for (uint16_t i = 0; i < soft->nr_rings; i++)
		stop_ring(soft, i);
	soft->dev = NULL;
	soft->nr_regions = 0;
	soft->seen.nr_close++;
	pthread_mutex_unlock(&soft->lock);
}

static int
set_vring_state(struct vhc_device *dev, uint16_t ring, bool enabled, void *arg)
{
	struct soft_vdpa *soft = arg;

	(void)dev;
	pthread_mutex_lock(&soft->lock);
	(enabled ? start_ring : stop_ring)(soft, ring);
	soft->seen.nr_state_changes++;
	pthread_mutex_unlock(&soft->lock);
	return 0;
}

static int
set_features(struct vhc_device *dev, uint64_t features, void *arg)
{
	struct soft_vdpa *soft = arg;

	(void)dev;
	pthread_mutex_lock(&soft->lock);
	soft->seen.features = features;
	pthread_mutex_unlock(&soft->lock);
	return 0;
}

static void
migration_done(struct vhc_device *dev, void *arg)
{
	struct soft_vdpa *soft = arg;

	(void)dev;
	pthread_mutex_lock(&soft->lock);
	soft->seen.nr_migrations++;
	pthread_mutex_unlock(&soft->lock);
}

static int
config_get(struct vhc_device *dev, uint8_t *bytes, uint32_t offset, uint32_t len, void *arg)
{
	const struct soft_vdpa *soft = arg;

	(void)dev;
	if (offset > SOFT_VDPA_CONFIG_LEN || len > SOFT_VDPA_CONFIG_LEN - offset)
		return -EINVAL;
	memcpy(bytes, soft->config + offset, len);
	return 0;
}

static int
config_set(struct vhc_device *dev, const uint8_t *bytes, uint32_t offset, uint32_t len,
	   bool is_migration, void *arg)
{
	struct soft_vdpa *soft = arg;

	(void)dev;
	if (offset > SOFT_VDPA_CONFIG_LEN || len > SOFT_VDPA_CONFIG_LEN - offset)
		return -EINVAL;
	if (offset < READ_ONLY_LEN && !is_migration)
		return -EACCES;
	memcpy(soft->config + offset, bytes, len);
	return 0;
}

static int
notify_area(struct vhc_device *dev, uint16_t ring, struct vhc_vdpa_area *area, void *arg)
{
	const struct soft_vdpa *soft = arg;

	(void)dev;
	*area = (struct vhc_vdpa_area){
		.fd = soft->area_fd, .offset = (uint64_t)ring * SOFT_VDPA_PAGE,
		.size = SOFT_VDPA_PAGE,
	};
	return 0;
}

static int
stats_names(void *arg, struct vhc_vdpa_stat_name *names, unsigned int max)
{
	static const char *const all[] = { "chains", "bytes" };

	(void)arg;
	for (unsigned int i = 0; i < 2 && i < max; i++)
		strcpy(names[i].name, all[i]);
	return 2;
}

static int
stats(void *arg, uint16_t ring, struct vhc_vdpa_stat *values, unsigned int max)
{
	struct soft_vdpa *soft = arg;
	struct vhc_vdpa_stat all[2] = { { .id = 0 }, { .id = 1 } };

	if (ring >= soft->nr_rings)
		return -EINVAL;
	pthread_mutex_lock(&soft->lock);
	all[0].value = soft->rings[ring].nr_chains;
	all[1].value = soft->rings[ring].nr_bytes;
	pthread_mutex_unlock(&soft->lock);
	max = max < 2 ? max : 2;
	memcpy(values, all, max * sizeof(all[0]));
	return (int)max;
}

static int
stats_reset(void *arg, uint16_t ring)
{
	struct soft_vdpa *soft = arg;

	if (ring >= soft->nr_rings)
		return -EINVAL;
	pthread_mutex_lock(&soft->lock);
	soft->rings[ring].nr_chains = soft->rings[ring].nr_bytes = 0;
	pthread_mutex_unlock(&soft->lock);
	return 0;
}

static const struct vhc_vdpa_ops soft_ops = {
	.nr_rings = tell_nr_rings,
	.features = tell_features,
	.protocol_features = tell_protocol_features,
	.dev_conf = dev_conf,
	.dev_close = dev_close,
	.set_vring_state = set_vring_state,
	.set_features = set_features,
	.migration_done = migration_done,
	.config_get = config_get,
	.config_set = config_set,
	.notify_area = notify_area,
	.stats_names = stats_names,
	.stats = stats,
	.stats_reset = stats_reset,
};

/* ---- its life ------------------------------------------------------------------------------- */

struct soft_vdpa *
soft_vdpa_create(const char *name, uint16_t nr_rings)
{
	struct soft_vdpa *soft = calloc(1, sizeof(*soft));

	if (!soft)
		return NULL;
	pthread_mutex_init(&soft->lock, NULL);
	soft->nr_rings = nr_rings;
	for (int i = 0; i < SOFT_VDPA_CONFIG_LEN; i++)
		soft->config[i] = (uint8_t)(0xa0 + i);
	soft->area_fd = memfd_create("vhostx-test-notify-area", MFD_CLOEXEC);
	if (soft->area_fd < 0 || ftruncate(soft->area_fd, nr_rings * SOFT_VDPA_PAGE) ||
	    vhc_vdpa_register(name, &soft_ops, soft, &soft->vdpa))
		goto err;
	if (pthread_create(&soft->thread, NULL, run, soft) == 0)
		return soft;
	vhc_vdpa_unregister(soft->vdpa);
err:
	close(soft->area_fd);
	free(soft);
	return NULL;
}

void
soft_vdpa_destroy(struct soft_vdpa *soft)
{
	pthread_mutex_lock(&soft->lock);
	soft->is_ending = true;
	pthread_mutex_unlock(&soft->lock);
	pthread_join(soft->thread, NULL);
	if (vhc_vdpa_unregister(soft->vdpa))
		abort();
	close(soft->area_fd);
	free(soft);
}

struct vhc_vdpa *
soft_vdpa_device(struct soft_vdpa *soft)
{
	return soft->vdpa;
}

void
soft_vdpa_look(struct soft_vdpa *soft, struct soft_vdpa_seen *seen)
{
	pthread_mutex_lock(&soft->lock);
	*seen = soft->seen;
	pthread_mutex_unlock(&soft->lock);
}

void
soft_vdpa_refuse(struct soft_vdpa *soft, int rc)
{
	pthread_mutex_lock(&soft->lock);
	soft->refusal = rc;
	pthread_mutex_unlock(&soft->lock);
}
