#!/usr/bin/env python3
"""Wrong variants of the lanes' code that a scenario of lane_schedule_test must find.

  variants.py list                     a line for each: name, scenario, header, sources
  variants.py make NAME ROOT FOLDER    writes its sources below FOLDER

Each breaks one rule of docs/lanes.md. A text that is to be replaced stands in its file once; where it does not, the
code has changed and the variant is to be set anew: `make` fails.
"""

import pathlib
import sys
from typing import NamedTuple


class Edit(NamedTuple):
    file: str
    before: str
    after: str


class Variant(NamedTuple):
    scenario: str
    edits: tuple
    users: tuple = ()  # sources that include a changed header


RECEIVE = "shim/direct_receive.cc"
SEND = "shim/direct_send.cc"
DIRECT = "shim/direct.cc"
FEED = "shim/direct_feed.cc"
LANE_END = "emu/hvsocket/lane_end.cc"
TURNS = "emu/hvsocket/lane_turns.cc"
LANE = "emu/protocol/lane.h"

VARIANTS = {
    # ---- sleeping
    "asleep_unannounced": Variant("ABlockingReceiverSleepsAndIsWoken", (
        Edit(RECEIVE, "  if (sleeps) SharedCell(lane_->sleepers).store_seq_cst(generation_);\n", ""),
        Edit(RECEIVE, "  const LaneSleep how{is_unasked_",
             "  SharedCell(lane_->sleepers).store_seq_cst(generation_);\n  const LaneSleep how{is_unasked_"))),
    "one_sleeper_woken": Variant("TwoReceiversShareALane", (
        Edit(LANE_END, "FUTEX_WAKE, INT_MAX,", "FUTEX_WAKE, 1,"),)),
    "carrier_news_untold": Variant("ABlockingReceiverSleepsAndIsWoken", (
        Edit(TURNS, "  if (gave) lane.wake_sleepers();\n", ""),)),
    "end_unseen": Variant("ASleeperLearnsOfTheEndBehindTheBytes", (
        Edit(RECEIVE, "turn->sleeps = sleeps && !ended;", "turn->sleeps = sleeps;"),)),
    "end_announced_after_the_wake": Variant("ASleeperLearnsOfTheEndBehindTheBytes", (
        Edit("emu/hvsocket/endings.cc",
             "  if (socket.lane != nullptr) socket.lane->announce_end();\n  if (!socket.closed) ::shutdown(socket.b.get(), SHUT_WR);\n"
             "  if (socket.lane != nullptr) socket.lane->wake_sleepers();\n",
             "  if (!socket.closed) ::shutdown(socket.b.get(), SHUT_WR);\n"
             "  if (socket.lane != nullptr) socket.lane->wake_sleepers();\n"
             "  if (socket.lane != nullptr) socket.lane->announce_end();\n"),)),
    "room_not_looked_for_again": Variant("AWriterSleepsUntilThereIsRoom", (
        Edit(SEND, "  if (*has_room && !is_plugged) return Slept::kWoken;\n", ""),)),
    # ---- the watch
    "warm_and_unwatched": Variant("AReceiverLeavesWarmAndComesBackLate", (
        Edit(RECEIVE, "  SharedCell(lane_->in_flags).fetch_or(proto::kLaneWatched);\n  VMBUS_FAULT(kReceiveWatched);\n"
             "  return true;\n", "  return false;\n"),)),
    "watched_and_unrung": Variant("AReceiverLeavesWarmAndComesBackLate", (
        Edit(RECEIVE, "  VMBUS_FAULT(kReceiveWatched);\n  return true;\n", "  return false;\n"),)),
    # ---- order
    "ring_before_carrier": Variant("AReceiverTurnsToPolling", (
        Edit(RECEIVE, "  if ((in_flags.load_relaxed() & kAskCarrier) == 0) return 0;\n",
             "  if ((in_flags.load_relaxed() & proto::kLaneEnded) == 0) return 0;\n"),)),
    "carrier_holds_unsaid": Variant("ABlockingReceiverSleepsAndIsWoken", (
        Edit(LANE_END, "  if (gave_to_carrier) SharedCell(shared_->in_flags).fetch_or(proto::kLaneCarrierHolds);\n",
             "  static_cast<void>(gave_to_carrier);\n"),)),
    "carrier_sends_ignored": Variant("ASenderUsesTheCarrierAndThenTheRing", (
        Edit(SEND, "  return sends().none() && (SharedCell(lane_->raw)", "  return (SharedCell(lane_->raw)"),)),
    "dirty_whatever_the_number": Variant("TheCarrierIsUsedAgainWhileTheDaemonIsDoneWithIt", (
        Edit(LANE, "    word_.compare_exchange(before, before & ~kDirty);\n",
             "    change([](std::uint64_t word) { return word & ~kDirty; });\n"),),
        (SEND, LANE_END)),
    "raw_queue_not_asked": Variant("ARawSenderUsesTheCarrierAndThenTheRing", (
        Edit(SEND, "(SharedCell(lane_->raw).load_relaxed() == 0 || is_empty());", "true;"),)),
    # ---- turns
    "position_unsaved": Variant("AReceiverTurnsToPolling", (
        Edit(RECEIVE, "    proto::store_position(*lane_, reader->position());\n    VMBUS_FAULT(kReceivePosition);\n", ""),)),
    "want_unheeded": Variant("AReceiverWaitsInTheKernel", (
        Edit(DIRECT, "  turn.needs_look |= (asked & proto::kGateWanted) != 0;\n", ""),)),
    "awaited_unheeded": Variant("TwoReceiversShareALane", (
        Edit(DIRECT, "  if ((asked & proto::kGateAwaited) != 0) wake_awaiting(*held.word);\n", ""),)),
    "closed_gate_untold": Variant("ASleeperLearnsOfThePeersClose", (
        Edit(LANE_END, "  if ((before & proto::kGateAwaited) != 0) wake_all(&word);\n",
             ""),)),
    "bell_taken_away_after_the_turn": Variant("AReceiverLeavesWarmAndComesBackLate", (
        Edit(LANE, "      std::uint64_t rung = bits.exchange(0);\n", "      std::uint64_t rung = bits.load_seq_cst();\n"),
        Edit(LANE, "__builtin_ctzll(rung)));\n      }\n", "__builtin_ctzll(rung)));\n      }\n      bits.exchange(0);\n"),
        Edit(TURNS, "      signal_peer(*source);\n    } else",
             "      signal_peer(*source);\n      while (settle()) {\n      }\n    } else"))),
    # ---- feeds
    "fed_and_carrier_holds_unsaid": Variant("APollerIsFed", (
        Edit(FEED, "  in_flags.fetch_or(proto::kLaneCarrierHolds);\n", ""),)),
    "fed_and_want_unheeded": Variant("AReceiverInTheKernelIsFed", (
        Edit(FEED, "  if ((asked & proto::kGateWanted) != 0) ring_look(opposite);\n", ""),)),
}


def files_of(variant):
    files = [edit.file for edit in variant.edits] + list(variant.users)
    return sorted(set(files))


def make(name, root, folder):
    variant = VARIANTS[name]
    for file in files_of(variant):
        text = (root / file).read_text()
        for edit in variant.edits:
            if edit.file != file:
                continue
            if text.count(edit.before) != 1:
                sys.exit(f"variants.py: {name}: {file} has {text.count(edit.before)} times:\n{edit.before}")
            text = text.replace(edit.before, edit.after)
        target = folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


def main():
    if sys.argv[1:2] == ["make"]:
        make(sys.argv[2], pathlib.Path(sys.argv[3]), pathlib.Path(sys.argv[4]))
        return
    for name, variant in VARIANTS.items():
        print(name, variant.scenario, *files_of(variant))


if __name__ == "__main__":
    main()
