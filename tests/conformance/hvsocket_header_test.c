/*
 * hvsocket.h gives programs for Windows and FreeBSD their names, and the bytes that those systems have. Compiled as C
 * and as C++, with and without HVSOCKET_FREEBSD; each program checks its half of the header. The expected bytes are
 * the tables 1.3, 1.4 and 1.6 of the socket behaviour sheet.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "tools/include/hvsocket.h"

static int failures;

static void expect(int holds, const char* what) {
  if (holds) return;
  printf("wrong: %s\n", what);
  ++failures;
}

#define EXPECT(condition) expect((condition), #condition)

#ifdef HVSOCKET_FREEBSD

static void check_header(void) {
  struct sockaddr_hvs address;
  memset(&address, 0, sizeof address);
  EXPECT(sizeof address == 20);
  EXPECT(offsetof(struct sockaddr_hvs, sa_len) == 0);
  EXPECT(offsetof(struct sockaddr_hvs, sa_family) == 1);
  EXPECT(offsetof(struct sockaddr_hvs, hvs_port) == 4);
  EXPECT(offsetof(struct sockaddr_hvs, hvs_zero) == 8);
  EXPECT(AF_HYPERV == 43);
  EXPECT(HYPERV_SOCK_PROTO_TRANS == 1);
  address.hvs_port = HVADDR_PORT_ANY;
  EXPECT(address.hvs_port == HVADDR_PORT_UNKNOWN);
}

#else

/* Two hexadecimal digits a byte, as in memory. */
static void expect_guid(const GUID* guid, const char* hex, const char* name) {
  char text[2 * sizeof *guid + 1];
  const unsigned char* bytes = (const unsigned char*)guid;
  size_t i;
  for (i = 0; i < sizeof *guid; ++i) snprintf(text + 2 * i, 3, "%02x", bytes[i]);
  expect(strcmp(text, hex) == 0, name);
}

#define EXPECT_GUID(name, hex) expect_guid(&(name), hex, #name)

static void check_guids(void) {
  GUID service = HV_GUID_VSOCK_TEMPLATE;
  EXPECT_GUID(HV_GUID_ZERO, "00000000000000000000000000000000");
  EXPECT_GUID(HV_GUID_WILDCARD, "00000000000000000000000000000000");
  EXPECT_GUID(HV_GUID_BROADCAST, "ffffffffffffffffffffffffffffffff");
  EXPECT_GUID(HV_GUID_CHILDREN, "898bdb90350d794f8ce949ea0ac8b7cd");
  EXPECT_GUID(HV_GUID_LOOPBACK, "9761e1e056dd104a91955ee7a155a838");
  EXPECT_GUID(HV_GUID_PARENT, "da7c2ea43fd00c489cc2a4de20abb878");
  EXPECT_GUID(HV_GUID_SILOHOST, "5c0cbd367672234288ba7d03b654c568");
  service.Data1 = 1234;
  EXPECT_GUID(service, "d2040000cbfae611bd5864006a7986d3");
}

static void check_header(void) {
  SOCKADDR_HV address;
  PSOCKADDR_HV pointer = &address;
  memset(&address, 0, sizeof address);
  pointer->Family = AF_HYPERV;
  pointer->VmId = HV_GUID_CHILDREN;
  EXPECT(sizeof address == 36);
  EXPECT(offsetof(SOCKADDR_HV, Reserved) == 2);
  EXPECT(offsetof(SOCKADDR_HV, VmId) == 4);
  EXPECT(offsetof(SOCKADDR_HV, ServiceId) == 20);
  EXPECT(((struct sockaddr*)pointer)->sa_family == AF_HYPERV);
  EXPECT(sizeof(HVSOCKET_ADDRESS_INFO) == 52);
  EXPECT(offsetof(HVSOCKET_ADDRESS_INFO, Flags) == 48);
  EXPECT(AF_HYPERV == 34 && HV_PROTOCOL_RAW == 1);
  EXPECT(HVSOCKET_CONNECT_TIMEOUT == 1 && HVSOCKET_CONNECT_TIMEOUT_MAX == 300000);
  EXPECT(HVSOCKET_CONTAINER_PASSTHRU == 2);
  EXPECT(HVSOCKET_CONNECTED_SUSPEND == 4);
  EXPECT(HVSOCKET_HIGH_VTL == 8);
  EXPECT(HVSOCKET_ADDRESS_FLAG_PASSTHRU == 1);
  check_guids();
}

#endif

int main(void) {
  check_header();
  return failures == 0 ? 0 : 1;
}
