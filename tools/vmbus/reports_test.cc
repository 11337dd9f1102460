#include "tools/vmbus/reports.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "emu/protocol/messages.h"
#include "tools/vmbus/messages_report.h"

namespace vmbus::tools {
namespace {

using testing::HasSubstr;
using testing::Not;

control::StatusReport::Guest a_guest() {
  control::StatusReport::Guest guest;
  guest.set_name("guest");
  guest.set_vm_id("12345678-9abc-def0-1122-334455667788");
  guest.set_cid(3);
  guest.set_flavour("linux");
  guest.set_vmbus_version("5.3");
  guest.set_connection("connected");
  guest.set_channels(2);
  guest.set_sockets(5);
  guest.set_guest_memory_bytes(1 << 20);
  return guest;
}

control::StatusReport a_status() {
  control::StatusReport report;
  report.set_version("0.1.0");
  report.set_pid(42);
  report.set_socket_path("/tmp/bus");
  report.set_uptime_ms(61000);
  report.set_loop_backend("epoll");
  report.set_loop_reason("io_uring is not permitted here");
  report.set_clients(3);
  report.set_sockets(5);
  report.set_descriptors(17);
  report.set_descriptor_limit(1024);
  *report.add_guests() = a_guest();
  for (const int value : {0, 7}) {
    auto& counter = *report.add_counters();
    counter.set_name(value == 0 ? "never" : "requests");
    counter.set_value(static_cast<std::uint64_t>(value));
    counter.set_meaning("what it counts");
  }
  return report;
}

TEST(StatusReport, ForPeople) {
  EXPECT_EQ(
      status_text(a_status()),
      "bus       /tmp/bus\n"
      "daemon    vmbusd 0.1.0, pid 42, up 1 min 1 s; leaves with its last user\n"
      "loop      epoll (io_uring is not permitted here)\n"
      "users     3 control connections, 5 sockets; 17 of 1024 descriptors in use\n"
      "\n"
      "GUEST  CID  VM ID                                 FLAVOUR  VMBUS  CONNECTION  CHANNELS  "
      "SOCKETS  MEMORY\n"
      "guest    3  12345678-9abc-def0-1122-334455667788  linux    5.3    connected          2  "
      "      5    1.0M\n"
      "\n"
      "COUNTER   VALUE  MEANING\n"
      "requests      7  what it counts\n");
}

TEST(StatusReport, ADaemonStartedByHandStays) {
  control::StatusReport report = a_status();
  report.set_stays(true);
  EXPECT_THAT(status_text(report), HasSubstr("; stays until `vmbus stop`\n"));
}

TEST(StatusReport, GuestsThatKeepItAreSaidTo) {
  control::StatusReport report = a_status();
  report.set_stays(true);
  report.set_kept_by_guests(true);
  EXPECT_THAT(status_text(report),
              HasSubstr("; stays for its added guests, until `vmbus vm remove`"));
  EXPECT_EQ(status_json(report)["stays"], true);
  EXPECT_EQ(status_json(report)["kept_by_guests"], true);
}

TEST(StatusReport, WithoutCountersThereIsNoTableOfThem) {
  control::StatusReport report = a_status();
  report.clear_counters();
  EXPECT_THAT(status_text(report), Not(HasSubstr("COUNTER")));
}

TEST(StatusReport, ForScripts) {
  const Json json = status_json(a_status());
  EXPECT_EQ(json["running"], true);
  EXPECT_EQ(json["pid"], 42);
  EXPECT_EQ(json["descriptor_limit"], 1024);
  EXPECT_EQ(json["guests"][0]["guest_memory_bytes"], 1 << 20);
  EXPECT_EQ(json["guests"][0]["permanent"], false);
  EXPECT_EQ(json["counters"]["requests"], 7);
  EXPECT_EQ(json["counters"]["never"], 0);
}

TEST(StatusReport, NobodyListens) {
  EXPECT_EQ(not_running_json("/tmp/bus").dump(), R"({"running":false,"socket_path":"/tmp/bus"})");
}

TEST(GuestsReport, ForPeopleAndScripts) {
  control::VmReport report;
  *report.add_guests() = a_guest();
  EXPECT_THAT(guests_text(report), HasSubstr("\nguest    3  12345678-"));
  EXPECT_EQ(guests_json(report)["guests"][0]["name"], "guest");
}

TEST(GuestsReport, APausedGuestIsShown) {
  control::VmReport report;
  *report.add_guests() = a_guest();
  EXPECT_EQ(guests_json(report)["guests"][0]["paused"], false);
  report.mutable_guests(0)->set_paused(true);
  EXPECT_EQ(guests_json(report)["guests"][0]["paused"], true);
  EXPECT_THAT(guests_text(report), AllOf(HasSubstr("  paused  "), Not(HasSubstr("connected"))));
}

TEST(ServicesReport, ForPeopleAndScripts) {
  control::ServiceReport report;
  EXPECT_THAT(services_text(report), HasSubstr("every service counts as registered"));
  EXPECT_EQ(services_json(report)["listed"], false);
  report.set_listed(true);
  EXPECT_THAT(services_text(report), HasSubstr("no service is registered"));
  auto& port = *report.add_services();
  port.set_service("00000007-facb-11e6-bd58-64006a7986d3");
  port.set_is_port(true);
  port.set_port(7);
  port.set_name("seven");
  report.add_services()->set_service("c3b2a190-1234-4567-89ab-cdef01234567");
  EXPECT_EQ(services_text(report),
            "SERVICE                               PORT  NAME\n"
            "00000007-facb-11e6-bd58-64006a7986d3     7  seven\n"
            "c3b2a190-1234-4567-89ab-cdef01234567     -  -\n");
  const Json json = services_json(report);
  EXPECT_EQ(json["services"][0]["port"], 7);
  EXPECT_EQ(json["services"][1]["port"], nullptr);
}

control::SocketReport a_connection() {
  control::SocketReport report;
  auto& socket = *report.add_sockets();
  socket.set_partition("guest");
  socket.set_family("AF_VSOCK");
  socket.set_state("connected");
  socket.set_local("3:1234");
  socket.set_peer("2:9");
  socket.set_pid(77);
  socket.set_program("socat");
  socket.set_relid(5);
  socket.set_kind("channel");
  socket.set_guest("guest");
  socket.mutable_guest_to_host()->set_data_bytes(258048);
  socket.mutable_guest_to_host()->set_used_bytes(129024);
  socket.mutable_host_to_guest()->set_data_bytes(258048);
  socket.set_bytes_sent(2048);
  socket.set_bytes_received(10);
  socket.set_signals_sent(4);
  socket.set_signals_received(6);
  return report;
}

TEST(SocketReport, AConnection) {
  EXPECT_EQ(sockets_text(a_connection()),
            "PARTITION  FAMILY    STATE      LOCAL   PEER  GUEST  RELID  G>H  H>G  SENT  RECEIVED  "
            "SIGNALS  PID  PROGRAM\n"
            "guest      AF_VSOCK  connected  3:1234  2:9   guest      5  50%   0%  2.0K        10  "
            "    4/6   77  socat\n");
}

TEST(SocketReport, AListenerShowsItsQueueAndALoopbackItsKind) {
  control::SocketReport report = a_connection();
  auto& socket = *report.mutable_sockets(0);
  socket.set_state("listening");
  socket.set_waiting(2);
  socket.set_backlog(128);
  socket.set_relid(0);
  socket.set_kind("loopback");
  socket.set_pid(0);
  const std::string text = sockets_text(report);
  EXPECT_THAT(text, HasSubstr("listening 2/128"));
  EXPECT_THAT(text, HasSubstr(" loopback "));
  EXPECT_THAT(text, HasSubstr("    ?  socat"));
}

TEST(SocketReport, NoSocketsAndANote) {
  control::SocketReport report;
  report.set_note("guest: all 2047 channels are in use");
  EXPECT_EQ(sockets_text(report), "No sockets.\nguest: all 2047 channels are in use\n");
}

TEST(SocketReport, ForScripts) {
  const Json json = sockets_json(a_connection());
  EXPECT_EQ(json["running"], true);
  const Json& socket = json["sockets"][0];
  EXPECT_EQ(socket["relid"], 5);
  EXPECT_EQ(socket["guest_to_host"]["used_bytes"], 129024);
  EXPECT_EQ(socket["backlog"], 0);
}

std::string contact_bytes() {
  proto::InitiateContact contact;
  contact.requested_version = 0x50003;
  return {reinterpret_cast<const char*>(&contact), sizeof contact};
}

control::MessageReport two_messages() {
  control::MessageReport report;
  for (const std::uint32_t i : {0U, 1U}) {
    auto& message = *report.add_messages();
    message.set_sequence(i);
    message.set_time_ns(5'000'000 + i * 1'500'000);
    message.set_guest("guest");
    message.set_number(i == 0 ? 14 : 13);
    message.set_name(i == 0 ? "INITIATE_CONTACT" : "RELID_RELEASED");
    message.set_direction("guest->host");
    message.set_relid(i);
    message.set_payload(i == 0 ? contact_bytes() : "\x0d\xff");
  }
  return report;
}

TEST(MessageReport, TimesCountFromTheFirst) {
  EXPECT_EQ(messages_text(select_messages(two_messages(), {}), 0),
            "   MS  DIRECTION    NO  MESSAGE           RELID  DETAIL\n"
            "0.000  guest->host  14  INITIATE_CONTACT      -  version 5.3\n"
            "1.500  guest->host  13  RELID_RELEASED        1  -\n");
}

TEST(MessageReport, SeveralGuestsGetAColumn) {
  control::MessageReport report = two_messages();
  report.mutable_messages(1)->set_guest("second");
  EXPECT_THAT(messages_text(select_messages(report, {}), 0),
              HasSubstr("1.500  second  guest->host"));
}

TEST(MessageReport, SaysWhatIsNoLongerThere) {
  EXPECT_THAT(messages_text(select_messages(two_messages(), {}), 9),
              HasSubstr("9 older messages are no longer recorded.\n"));
  EXPECT_EQ(messages_text({}, 0), "No control messages.\n");
}

TEST(MessageReport, ForScripts) {
  const Json json = messages_json(select_messages(two_messages(), {}), 9);
  EXPECT_EQ(json["dropped"], 9);
  EXPECT_EQ(json["messages"][0]["detail"], "version 5.3");
  EXPECT_EQ(json["messages"][1]["payload"], "0dff");
  EXPECT_EQ(json["messages"][1]["time_ns"], 6'500'000);
}

}  // namespace
}  // namespace vmbus::tools
