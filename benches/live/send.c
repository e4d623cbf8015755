/* Sends the packets of a capture from memory, at a rate:
 *   send IFACE FILE PACKETS_PER_SECOND SECONDS      0: as fast as it goes
 * At the end of the file it begins anew: a file that is too short makes retransmissions of all that follows.
 * Only for a veth that the measuring script made. Prints how many it sent. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { AT_ONCE = 64, BYTES_MAX = 1600 };

static double seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static void *grown(void *at, size_t bytes)
{
	void *more = realloc(at, bytes);
	if (!more) {
		perror("realloc");
		exit(1);
	}
	return more;
}

static size_t load(const char *path, struct iovec **packets)
{
	char error[PCAP_ERRBUF_SIZE];
	pcap_t *file = pcap_open_offline(path, error);
	if (!file) {
		fprintf(stderr, "%s\n", error);
		exit(1);
	}
	struct pcap_pkthdr *header;
	const u_char *bytes;
	size_t count = 0, room = 0;
	while (pcap_next_ex(file, &header, &bytes) == 1) {
		if (header->caplen < ETH_HLEN || header->caplen > BYTES_MAX)
			continue;
		if (count == room)
			*packets = grown(*packets, (room = room ? 2 * room : 1 << 16) * sizeof **packets);
		(*packets)[count].iov_base = memcpy(grown(NULL, header->caplen), bytes, header->caplen);
		(*packets)[count++].iov_len = header->caplen;
	}
	pcap_close(file);
	return count;
}

int main(int argc, char **argv)
{
	if (argc != 5) {
		fprintf(stderr, "send IFACE FILE PACKETS_PER_SECOND SECONDS\n");
		return 2;
	}
	struct iovec *packets = NULL;
	size_t count = load(argv[2], &packets), next = 0;
	double rate = atof(argv[3]), length = atof(argv[4]);
	int out = socket(AF_PACKET, SOCK_RAW, 0), on = 1;
	/* The queueing discipline would drop what it has no room for. */
	setsockopt(out, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on);
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP),
		.sll_ifindex = (int)if_nametoindex(argv[1]) };
	if (!count || bind(out, (void *)&to, sizeof to)) {
		perror(argv[1]);
		return 1;
	}
	struct mmsghdr messages[AT_ONCE] = { 0 };
	unsigned long long sent = 0, bytes = 0;
	double start = seconds(), now = start;
	for (; now - start < length; now = seconds()) {
		if (rate > 0 && sent >= (now - start) * rate)
			continue;
		for (int i = 0; i < AT_ONCE; i++) {
			messages[i].msg_hdr.msg_iov = &packets[(next + i) % count];
			messages[i].msg_hdr.msg_iovlen = 1;
		}
		int taken = sendmmsg(out, messages, AT_ONCE, 0);
		if (taken < 0 && errno != ENOBUFS && errno != EAGAIN) {
			perror("sendmmsg");
			return 1;
		}
		for (int i = 0; i < taken; i++)
			bytes += messages[i].msg_hdr.msg_iov->iov_len;
		sent += taken > 0 ? taken : 0;
		next = (next + (taken > 0 ? taken : 0)) % count;
	}
	printf("{\"sent\": %llu, \"bytes\": %llu, \"seconds\": %.3f}\n", sent, bytes, now - start);
	return 0;
}
