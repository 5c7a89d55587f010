/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * schema_dump.c - print the table of requests as JSON, for tests that are generated from it.
 */
#include <stdio.h>

#include "wire/schema.h"

static const char *const fd_rules[] = {
	[FDS_NONE] = "none",
	[FDS_ONE] = "one",
	[FDS_ONE_UNLESS_NOFD] = "one_unless_nofd",
	[FDS_ONE_PER_REGION] = "one_per_region",
	[FDS_AT_MOST_ONE] = "at_most_one",
};

static void
print_size(const struct schema_entry *entry)
{
	if (entry->size == SIZE_MEM_TABLE)
		printf("{\"rule\":\"mem_table\",\"head\":%zu,\"region\":%zu,\"max_regions\":%d}",
		       offsetof(struct vhost_user_mem_table, regions),
		       sizeof(struct vhost_user_region), VHOST_USER_MEM_TABLE_REGIONS);
	else if (entry->size == SIZE_CONFIG)
		printf("{\"rule\":\"config\",\"head\":%zu,\"max\":%d}",
		       offsetof(struct vhost_user_config, bytes), VHOST_USER_CONFIG_MAX);
	else
		printf("{\"rule\":\"exact\",\"bytes\":%u}", entry->bytes);
}

static void
print_entry(uint32_t request, const struct schema_entry *entry)
{
	printf("{\"request\":%u,\"name\":\"%s\",\"size\":", request, entry->name);
	print_size(entry);
	printf(",\"fds\":\"%s\",\"reply\":\"%s\",\"gate\":", fd_rules[entry->fds],
	       entry->reply == REPLY_BODY ? "body" : "ack");
	if (entry->gate == SCHEMA_NO_GATE)
		printf("null");
	else
		printf("%d", entry->gate);
	printf(",\"needs_protocol_features\":%s}",
	       entry->needs_protocol_features ? "true" : "false");
}

int
main(void)
{
	const char *before = "[\n";

	for (uint32_t request = 0; request < VHOST_USER_REQUEST_MAX; request++) {
		const struct schema_entry *entry = vhc_schema_find(request);

		if (!entry)
			continue;
		printf("%s", before);
		print_entry(request, entry);
		before = ",\n";
	}
	printf("\n]\n");
	return 0;
}
