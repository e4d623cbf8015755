/* The least that live capture can cost: libpcap's ring, and a counter.
 *   count IFACE RING_MIB        until SIGTERM; prints what it saw and what the kernel dropped */
#include <pcap/pcap.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static volatile sig_atomic_t stop;
static unsigned long long seen;

static void ask(int signal)
{
	(void)signal;
	stop = 1;
}

static void take(u_char *nothing, const struct pcap_pkthdr *header, const u_char *bytes)
{
	(void)nothing, (void)bytes;
	seen += header->len > 0;
}

int main(int argc, char **argv)
{
	char error[PCAP_ERRBUF_SIZE];
	if (argc != 3)
		return 2;
	signal(SIGTERM, ask);
	pcap_t *ring = pcap_create(argv[1], error);
	pcap_set_promisc(ring, 1);
	pcap_set_snaplen(ring, 16384);
	pcap_set_timeout(ring, 5);
	pcap_set_buffer_size(ring, atoi(argv[2]) << 20);
	if (pcap_activate(ring) || pcap_setnonblock(ring, 1, error)) {
		pcap_perror(ring, argv[1]);
		return 1;
	}
	struct pollfd descriptor = { .fd = pcap_get_selectable_fd(ring), .events = POLLIN };
	for (int quiet = 0; !stop || !quiet;) {
		poll(&descriptor, 1, 50);
		quiet = pcap_dispatch(ring, -1, take, NULL) <= 0;
	}
	struct pcap_stat kernel;
	pcap_stats(ring, &kernel);
	printf("{\"packets\": %llu, \"packets_dropped\": %u}\n", seen, kernel.ps_drop);
	return 0;
}
