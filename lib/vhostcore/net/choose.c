/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * choose.c - which of the compiled kernels this CPU runs.
 *
 * Knows:   what each needs; EAL's limit on the width of vectors.
 * Trusts:  EAL's view of the CPU.
 * Runs on: control thread.
 *
 * A distribution's package is compiled for a generic CPU. So that it need not be slow, the bursts
 * are compiled for better ones as well, and the choice is made at run time.
 */
#define ALLOW_EXPERIMENTAL_API	/* rte_vect_get_max_simd_bitwidth(), in 22.11 */

#include "kernel.h"

#include <rte_cpuflags.h>
#include <rte_vect.h>

extern const struct net_kernel vhc_net_kernel_base;

#ifdef RTE_ARCH_X86
extern const struct net_kernel vhc_net_kernel_avx2, vhc_net_kernel_avx512;

const struct net_kernel *const vhc_net_kernels[] = {
	&vhc_net_kernel_base, &vhc_net_kernel_avx2, &vhc_net_kernel_avx512,
};

static const struct need {
	uint16_t width;
	enum rte_cpu_flag_t flags[4];
	unsigned int nr_flags;
} needs[] = {
	{ .width = 128 },
	{ .width = 256, .flags = { RTE_CPUFLAG_AVX2, RTE_CPUFLAG_BMI2 }, .nr_flags = 2 },
	{ .width = 512, .flags = { RTE_CPUFLAG_AVX512F, RTE_CPUFLAG_AVX512BW, RTE_CPUFLAG_AVX512VL,
				   RTE_CPUFLAG_BMI2 }, .nr_flags = 4 },
};

bool
vhc_net_kernel_runs(unsigned int i)
{
	if (i > 0 && rte_vect_get_max_simd_bitwidth() < needs[i].width)
		return false;
	for (unsigned int flag = 0; flag < needs[i].nr_flags; flag++)
		if (rte_cpu_get_flag_enabled(needs[i].flags[flag]) != 1)
			return false;
	return true;
}
#else
const struct net_kernel *const vhc_net_kernels[] = { &vhc_net_kernel_base };

bool
vhc_net_kernel_runs(unsigned int i)
{
	return i == 0;
}
#endif

const unsigned int vhc_net_nr_kernels = VHC_ARRAY_LEN(vhc_net_kernels);

const struct net_kernel *
vhc_net_kernel(void)
{
	unsigned int i = vhc_net_nr_kernels - 1;

	while (!vhc_net_kernel_runs(i))
		i--;
	return vhc_net_kernels[i];
}

VHC_API const char *
vhc_net_kernel_name(void)
{
	return vhc_net_kernel()->name;
}
