/* What libpcap costs by itself: reads a capture file to its end and counts packets and bytes. */

#include <pcap/pcap.h>
#include <stdio.h>

struct totals {
	unsigned long long packets, bytes;
};

static void count(u_char *user, const struct pcap_pkthdr *header, const u_char *packet)
{
	struct totals *totals = (struct totals *)user;
	(void)packet;
	totals->packets++;
	totals->bytes += header->len;
}

int main(int argc, char **argv)
{
	char error[PCAP_ERRBUF_SIZE];
	struct totals totals = {0, 0};
	if (argc != 2) {
		fprintf(stderr, "usage: pcaploop FILE\n");
		return 2;
	}
	pcap_t *capture = pcap_open_offline(argv[1], error);
	if (capture == NULL) {
		fprintf(stderr, "pcaploop: %s\n", error);
		return 2;
	}
	while (pcap_dispatch(capture, -1, count, (u_char *)&totals) > 0) {
	}
	pcap_close(capture);
	printf("%llu packets %llu bytes\n", totals.packets, totals.bytes);
	return 0;
}
