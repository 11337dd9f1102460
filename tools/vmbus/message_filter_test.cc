#include "tools/vmbus/message_filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "emu/protocol/messages.h"

namespace vmbus::tools {
namespace {

using proto::GpadlId;
using proto::Guid;
using proto::MessageType;
using proto::Relid;
using testing::ElementsAre;
using testing::IsEmpty;

// Builds a record message by message; each is known by its place.
class MessageFilterTest : public testing::Test {
 protected:
  template <typename Wire>
  void add(const Wire& wire, std::uint32_t relid = 0, const std::string& guest = "guest") {
    RecordedMessage& message = *report_.add_messages();
    message.set_sequence(static_cast<std::uint64_t>(report_.messages_size() - 1));
    message.set_guest(guest);
    message.set_number(static_cast<std::uint32_t>(wire.header.type));
    message.set_relid(relid);
    message.set_payload(std::string(sizeof wire, '\0'));
    std::memcpy(message.mutable_payload()->data(), &wire, sizeof wire);
  }
  void add_contact() {
    add(proto::InitiateContact{});
    add(proto::VersionResponse{});
    add(proto::RequestOffers{});
    add(proto::AllOffersDelivered{});
  }
  void add_request(std::uint32_t endpoint) {
    proto::TlConnectRequest request;
    request.endpoint_id = Guid{endpoint};
    add(request);
  }
  void add_offer(std::uint32_t relid, std::uint32_t endpoint, const std::string& guest = "guest") {
    proto::OfferChannel offer;
    offer.instance_id = Guid{endpoint};
    add(offer, relid, guest);
  }
  template <typename Wire>
  void add_gpadl(std::uint32_t relid, std::uint32_t gpadl) {
    Wire wire;
    wire.gpadl_id = GpadlId{gpadl};
    add(wire, relid);
  }
  void add_release(std::uint32_t relid) { add(proto::RelidReleased{}, relid); }

  std::vector<std::uint64_t> select(const MessageFilter& filter) const {
    std::vector<std::uint64_t> places;
    for (const auto* message : select_messages(report_, filter)) {
      places.push_back(message->sequence());
    }
    return places;
  }
  std::vector<std::uint64_t> first() const { return select({"", 0, ConnectionChoice::kFirst}); }
  std::vector<std::uint64_t> last() const { return select({"", 0, ConnectionChoice::kLast}); }

  control::MessageReport report_;
};

TEST_F(MessageFilterTest, NoFilterTakesAll) {
  add_contact();
  EXPECT_THAT(select({}), ElementsAre(0, 1, 2, 3));
}

TEST_F(MessageFilterTest, ByGuest) {
  add_offer(1, 1);
  add_offer(1, 1, "second");
  EXPECT_THAT(select({"second", 0, ConnectionChoice::kAll}), ElementsAre(1));
  EXPECT_THAT(select({"third", 0, ConnectionChoice::kAll}), IsEmpty());
}

TEST_F(MessageFilterTest, ByRelid) {
  add_contact();
  add_offer(1, 1);
  add_offer(2, 2);
  EXPECT_THAT(select({"", 2, ConnectionChoice::kAll}), ElementsAre(5));
}

TEST_F(MessageFilterTest, TheFirstConnectionBeginsWithTheContact) {
  add_contact();    // 0 to 3
  add_request(7);   // 4
  add_offer(1, 7);  // 5
  add_release(1);   // 6
  add_request(8);   // 7
  add_offer(2, 8);  // 8
  EXPECT_THAT(first(), ElementsAre(0, 1, 2, 3, 4, 5, 6));
}

TEST_F(MessageFilterTest, TheLastConnectionHasNoContactOfOthers) {
  add_contact();
  add_request(7);
  add_offer(1, 7);
  add_release(1);
  add_request(8);   // 7
  add_offer(2, 8);  // 8
  add_release(2);   // 9
  EXPECT_THAT(last(), ElementsAre(7, 8, 9));
}

TEST_F(MessageFilterTest, RequestsOfOtherConnectionsAreLeftOut) {
  add_request(8);   // 0
  add_request(7);   // 1
  add_offer(1, 8);  // 2
  add_offer(2, 7);  // 3
  EXPECT_THAT(first(), ElementsAre(0, 2));
  EXPECT_THAT(last(), ElementsAre(1, 3));
}

TEST_F(MessageFilterTest, AHostDialHasNoRequest) {
  add_offer(1, 7);
  add_release(1);
  EXPECT_THAT(first(), ElementsAre(0, 1));
}

TEST_F(MessageFilterTest, MessagesThatNameOnlyTheGpadlBelong) {
  add_offer(1, 7);                          // 0
  add_gpadl<proto::GpadlHeader>(1, 100);    // 1
  add_gpadl<proto::GpadlBody>(0, 100);      // 2
  add_gpadl<proto::GpadlBody>(0, 999);      // 3: of another channel
  add_gpadl<proto::GpadlCreated>(1, 100);   // 4
  add_gpadl<proto::GpadlTeardown>(1, 100);  // 5
  add_release(1);                           // 6
  add_gpadl<proto::GpadlTorndown>(0, 100);  // 7: may come after the release
  add_gpadl<proto::GpadlBody>(0, 100);      // 8: the number is somebody else's now
  EXPECT_THAT(first(), ElementsAre(0, 1, 2, 4, 5, 6, 7));
}

TEST_F(MessageFilterTest, ARelidUsedAgainIsAnotherConnection) {
  add_offer(1, 7);  // 0
  add_release(1);   // 1
  add_offer(1, 8);  // 2
  add_release(1);   // 3
  EXPECT_THAT(first(), ElementsAre(0, 1));
  EXPECT_THAT(last(), ElementsAre(2, 3));
}

TEST_F(MessageFilterTest, TheSameRelidOfAnotherGuestIsAnotherConnection) {
  add_offer(1, 7);            // 0
  add_offer(1, 7, "second");  // 1
  add_release(1);             // 2
  EXPECT_THAT(first(), ElementsAre(0, 2));
  EXPECT_THAT(select({"second", 0, ConnectionChoice::kFirst}), ElementsAre(1));
}

TEST_F(MessageFilterTest, WithoutAnOfferThereIsNoConnection) {
  add_contact();
  EXPECT_THAT(first(), IsEmpty());
  EXPECT_THAT(last(), IsEmpty());
}

TEST_F(MessageFilterTest, AConnectionAndARelid) {
  add_contact();
  add_request(7);
  add_offer(1, 7);
  add_release(1);
  EXPECT_THAT(select({"", 1, ConnectionChoice::kFirst}), ElementsAre(5, 6));
}

TEST_F(MessageFilterTest, AShortPayloadIsNoReasonToRead) {
  add_offer(1, 7);
  add_gpadl<proto::GpadlTorndown>(0, 100);
  report_.mutable_messages(0)->set_payload("x");
  report_.mutable_messages(1)->set_payload("x");
  EXPECT_THAT(first(), ElementsAre(0));
}

}  // namespace
}  // namespace vmbus::tools
