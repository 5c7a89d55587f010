/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_slice.c - pieces of a request's bytes, against a list of all bytes one by one.
 *
 * Every start and every end there is, of lists of spans cut at random, empty ones among them.
 */
#include <stdint.h>

#include "disk/worker.h"
#include "unit/check.h"

#define NR_SPANS_MAX	7
#define SPAN_MAX	6
#define NR_LISTS	2000

static uint8_t memory[NR_SPANS_MAX * SPAN_MAX * 2];
static struct iovec spans[NR_SPANS_MAX];
static uint32_t nr_spans;
static uint8_t *bytes[NR_SPANS_MAX * SPAN_MAX];	/* where each of them is */
static uint64_t nr_bytes;

/* Backwards in memory, with gaps: nothing is right by chance. */
static void
make_list(void)
{
	uint8_t *end = memory + sizeof(memory);

	nr_spans = (uint32_t)(rand() % (NR_SPANS_MAX + 1));
	nr_bytes = 0;
	for (uint32_t i = 0; i < nr_spans; i++) {
		size_t len = (size_t)(rand() % SPAN_MAX);

		end -= len + (size_t)(rand() % 3);
		spans[i] = (struct iovec){ .iov_base = end, .iov_len = len };
		for (size_t k = 0; k < len; k++)
			bytes[nr_bytes++] = end + k;
	}
}

static void
check_bytes(const struct io *io, uint64_t offset, uint64_t len)
{
	uint64_t nr = 0;

	for (unsigned int i = 0; i < io->nr_spans; i++)
		for (size_t k = 0; k < io->spans[i].iov_len; k++, nr++) {
			CHECK(nr < len);
			CHECK((uint8_t *)io->spans[i].iov_base + k == bytes[offset + nr]);
		}
	CHECK_EQ(nr, len);
	CHECK_EQ(io->len, len);
}

/* Is byte `offset` the first of a span, or behind the last? */
static bool
is_between_spans(uint64_t offset)
{
	uint64_t at = 0;

	for (uint32_t i = 0; i < nr_spans; at += spans[i++].iov_len)
		if (at == offset)
			return true;
	return at == offset;
}

static void
check_slice(uint64_t offset, uint64_t len)
{
	struct request request = { 0 };
	struct iovec before[NR_SPANS_MAX];

	memcpy(before, spans, sizeof(spans));
	CHECK_EQ(disk_request_slice(&request, spans, nr_spans, offset, len),
		 len == 0 || offset + len <= nr_bytes);
	CHECK(memcmp(before, spans, sizeof(spans)) == 0);
	if (len == 0 || offset + len <= nr_bytes)
		check_bytes(&request.io, offset, len);
	if (is_between_spans(offset) && is_between_spans(offset + len))
		CHECK(!request.cut);
	free(request.cut);
}

static void
test_all_starts_and_ends(void)
{
	for (unsigned int list = 0; list < NR_LISTS; list++) {
		make_list();
		for (uint64_t offset = 0; offset <= nr_bytes + 1; offset++)
			for (uint64_t len = 0; offset + len <= nr_bytes + 2; len++)
				check_slice(offset, len);
	}
}

static void
test_lengths_that_cannot_be(void)
{
	make_list();
	while (nr_bytes < 3)
		make_list();
	check_slice(0, nr_bytes + 1);
	check_slice(1, UINT32_MAX);
	check_slice(nr_bytes, 1);
	check_slice(UINT32_MAX, 1);
}

int
main(void)
{
	static const struct test tests[] = {
		TEST(test_all_starts_and_ends),
		TEST(test_lengths_that_cannot_be),
	};

	srand(1);
	return RUN_TESTS(tests);
}
