/* ECN in inner IP headers; what the function means is said in packet.h. */
#include "packet.h"

#include "checksum.h"

enum ecn { NOT_ECT, ECT_1, ECT_0, CE, DROP };

/* RFC 6040 figure 4: [inner][outer] is the field to pass on. */
static const uint8_t decapsulated[4][4] = {
    [NOT_ECT] = {[NOT_ECT] = NOT_ECT, [ECT_0] = NOT_ECT, [ECT_1] = NOT_ECT, [CE] = DROP},
    [ECT_0] = {[NOT_ECT] = ECT_0, [ECT_0] = ECT_0, [ECT_1] = ECT_1, [CE] = CE},
    [ECT_1] = {[NOT_ECT] = ECT_1, [ECT_0] = ECT_1, [ECT_1] = ECT_1, [CE] = CE},
    [CE] = {[NOT_ECT] = CE, [ECT_0] = CE, [ECT_1] = CE, [CE] = CE},
};

bool ip_decapsulate_ecn(uint8_t *packet, uint32_t outer)
{
    const uint32_t inner = ip_ecn(packet), combined = decapsulated[inner][outer];

    if (combined == DROP)
        return false;
    if (combined == inner)
        return true;
    if (packet[0] >> 4 == 4) {
        const uint64_t before = wgfp_sum(packet, 2);

        packet[1] = (uint8_t)((packet[1] & ~3u) | combined);
        wgfp_checksum_update(packet + 10, before, wgfp_sum(packet, 2));
    } else {
        packet[1] = (uint8_t)((packet[1] & ~0x30u) | combined << 4);
    }
    return true;
}
