/*
 * hvsocket.h: Hyper-V sockets for C programs written for Windows or FreeBSD, on Linux under the vmbus shim.
 *
 *   Windows  (the default)  AF_HYPERV 34, SOCKADDR_HV, HV_GUID_*, HV_PROTOCOL_RAW, HVSOCKET_*
 *   FreeBSD  (define HVSOCKET_FREEBSD first)  AF_HYPERV 43, struct sockaddr_hvs, HYPERV_SOCK_PROTO_TRANS
 *
 * Only names and layouts: the calls are Linux' socket(), bind(), connect() and so on. For C99 and C++.
 *
 * Options: HV_PROTOCOL_RAW is 1, and so is Linux' SOL_SOCKET. For AF_HYPERV sockets the shim tells their options
 * apart as docs/shim.md says; reading HVSOCKET_CONNECTED_SUSPEND and HVSOCKET_HIGH_VTL back is not possible.
 */
#ifndef VMBUS_TOOLS_INCLUDE_HVSOCKET_H_
#define VMBUS_TOOLS_INCLUDE_HVSOCKET_H_

#include <stdint.h>
#include <sys/socket.h>

#ifdef HVSOCKET_FREEBSD

#define AF_HYPERV 43
#define PF_HYPERV AF_HYPERV
#define HYPERV_SOCK_PROTO_TRANS 1

#define HVADDR_PORT_ANY 0xFFFFFFFFu
#define HVADDR_PORT_UNKNOWN 0xFFFFFFFFu

/*
 *   offset  size  field
 *        0     1  sa_len      20; the length argument of the call is what counts
 *        1     1  sa_family   AF_HYPERV
 *        4     4  hvs_port    host byte order
 *        8    10  hvs_zero
 */
struct sockaddr_hvs {
  unsigned char sa_len;
  unsigned char sa_family;
  unsigned int hvs_port;
  unsigned char hvs_zero[10];
};

#else

#define AF_HYPERV 34
#define PF_HYPERV AF_HYPERV
#define HV_PROTOCOL_RAW 1

/* Options at level HV_PROTOCOL_RAW; each is a 32-bit number. */
#define HVSOCKET_CONNECT_TIMEOUT 1 /* milliseconds */
#define HVSOCKET_CONNECT_TIMEOUT_MAX 300000
#define HVSOCKET_CONTAINER_PASSTHRU 2
#define HVSOCKET_CONNECTED_SUSPEND 4
#define HVSOCKET_HIGH_VTL 8

#define HVSOCKET_ADDRESS_FLAG_PASSTHRU 1

/* In memory: Data1, Data2 and Data3 little-endian, Data4 as the text has it. */
#ifndef GUID_DEFINED
#define GUID_DEFINED
typedef struct _GUID {
  uint32_t Data1;
  uint16_t Data2;
  uint16_t Data3;
  uint8_t Data4[8];
} GUID;
#endif

/*
 *   offset  size  field
 *        0     2  Family      AF_HYPERV
 *        2     2  Reserved    0
 *        4    16  VmId        which partition: a VM's own GUID, or one of HV_GUID_*
 *       20    16  ServiceId   which service in it
 */
typedef struct _SOCKADDR_HV {
  uint16_t Family;
  uint16_t Reserved;
  GUID VmId;
  GUID ServiceId;
} SOCKADDR_HV, *PSOCKADDR_HV;

/* 52 bytes. */
typedef struct _HVSOCKET_ADDRESS_INFO {
  GUID SystemId;
  GUID VirtualMachineId;
  GUID SiloId;
  uint32_t Flags;
} HVSOCKET_ADDRESS_INFO, *PHVSOCKET_ADDRESS_INFO;

/* Constants of this file alone: unused ones cost nothing and warn of nothing. */
#define HVSOCKET_GUID(name, a, b, c, d0, d1, d2, d3, d4, d5, d6, d7) \
  __attribute__((unused)) static const GUID name = {a, b, c, {d0, d1, d2, d3, d4, d5, d6, d7}}

/* 00000000-0000-0000-0000-000000000000: listens to every partition */
HVSOCKET_GUID(HV_GUID_ZERO, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
HVSOCKET_GUID(HV_GUID_WILDCARD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
/* ffffffff-ffff-ffff-ffff-ffffffffffff */
HVSOCKET_GUID(HV_GUID_BROADCAST, 0xFFFFFFFFu, 0xFFFF, 0xFFFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
              0xFF, 0xFF);
/* 90db8b89-0d35-4f79-8ce9-49ea0ac8b7cd: listens to child partitions */
HVSOCKET_GUID(HV_GUID_CHILDREN, 0x90db8b89u, 0x0d35, 0x4f79, 0x8c, 0xe9, 0x49, 0xea, 0x0a, 0xc8,
              0xb7, 0xcd);
/* e0e16197-dd56-4a10-9195-5ee7a155a838: the same partition */
HVSOCKET_GUID(HV_GUID_LOOPBACK, 0xe0e16197u, 0xdd56, 0x4a10, 0x91, 0x95, 0x5e, 0xe7, 0xa1, 0x55,
              0xa8, 0x38);
/* a42e7cda-d03f-480c-9cc2-a4de20abb878: the parent partition */
HVSOCKET_GUID(HV_GUID_PARENT, 0xa42e7cdau, 0xd03f, 0x480c, 0x9c, 0xc2, 0xa4, 0xde, 0x20, 0xab, 0xb8,
              0x78);
/* 36bd0c5c-7276-4223-88ba-7d03b654c568: the host of a silo */
HVSOCKET_GUID(HV_GUID_SILOHOST, 0x36bd0c5cu, 0x7276, 0x4223, 0x88, 0xba, 0x7d, 0x03, 0xb6, 0x54,
              0xc5, 0x68);
/* 00000000-facb-11e6-bd58-64006a7986d3: a ServiceId; Data1 becomes the vsock port */
HVSOCKET_GUID(HV_GUID_VSOCK_TEMPLATE, 0, 0xfacb, 0x11e6, 0xbd, 0x58, 0x64, 0x00, 0x6a, 0x79, 0x86,
              0xd3);

#endif /* HVSOCKET_FREEBSD */

#endif /* VMBUS_TOOLS_INCLUDE_HVSOCKET_H_ */
