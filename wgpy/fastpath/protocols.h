/* Numbers of the Internet's protocols, by IANA, and the sizes of their headers. */
#ifndef WGFP_PROTOCOLS_H
#define WGFP_PROTOCOLS_H

enum {
    ICMP = 1,
    TCP = 6,
    UDP = 17,
    DCCP = 33,
    ICMPV6 = 58,
    SCTP = 132,
    UDP_LITE = 136,

    IPV4_HEADER = 20, /* without options */
    IPV6_HEADER = 40,
    TCP_HEADER = 20, /* without options */
    UDP_HEADER = 8,
};

#endif
