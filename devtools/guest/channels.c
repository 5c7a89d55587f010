/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * channels.c - use so many queue pairs: what "ethtool -L eth0 combined 2" does.
 *
 * usage: channels INTERFACE PAIRS
 */
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

int
main(int argc, char **argv)
{
	struct ethtool_channels channels = { .cmd = ETHTOOL_SCHANNELS };
	struct ifreq request = { .ifr_data = (char *)&channels };
	int sock = socket(AF_INET, SOCK_DGRAM, 0);

	if (argc != 3 || sock < 0)
		return 2;
	channels.combined_count = (unsigned int)atoi(argv[2]);
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", argv[1]);
	if (ioctl(sock, SIOCETHTOOL, &request) == 0)
		return 0;
	perror("channels");
	return 1;
}
