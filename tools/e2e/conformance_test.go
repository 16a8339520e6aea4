package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/backupbus/backupbus/services/requester/door/doortest"
)

// The conformance cases of events.md 9, and who holds them: a folder and its tests.
//
//	E1        services/pipelinetest TestE4_ARecordLosesNothingOnItsWay (as every pipeline does at its end), events TestSchemas_EveryTypeHasAValidExample
//	E2        events TestIDs_ContractExample, services/requester/door/command TestE2_TheIDsOfTheContract
//	E3        events TestToken_ContractRows
//	E4        services/pipelinetest TestE4_ARecordLosesNothingOnItsWay
//	E5        services/pipelinetest TestE5_WhatANewerWriterAddsIsTaken, events/lifecycle TestFold_Verdicts
//	E6        services/requester/door/command TestR1_ACreateCommandIsDoneThenAccepted, services/requester/door/native TestCreate_CarriesTheTraceToTheEnd
//	E7        events TestParse_HeadersInAnyCaseAndPercentEncoded, events TestReadCommand_Headers
//	E8        events TestNew_RedactsEveryString
//	E9        services/requester/door/command TestE9_AKeyInADescriptionIsNowhere
//	S1        events/lifecycle TestCheck_EveryPairOfTheContract
//	S2        events/lifecycle TestFold_OrderAndDuplicatesChangeNothing
//	S3        events/lifecycle TestFold_Verdicts, services/status-tracker TestTracker_PutsBadEventsAmongTheDeadLetters
//	S4        events/bus TestAppend_OneOfTwoExecutorsClaims, services/provider-executors TestBackup_TwoExecutorsOneStart
//	S5        services/provider-executors TestBackup_TakenOverWithoutASecondProviderCall
//	S6        services/provider-executors TestCancel_LosesAgainstASuccess
//	S7        services/provider-executors TestCancel_WhileAllSlotsAreBusy
//	S8        services/provider-executors TestCancel_OfAWaitingBackupNeedsNoExecutor
//	S9        services/provider-executors TestBackup_TwoFailedTriesThenSuccess
//	S10       services/requester/schedule TestOverdue_IsRaisedAtItsTimeAndNamesWhatBlocked, services/requester/schedule TestSlots_ThatANobodyWasThereFor
//	S11       events/lifecycle TestCheck_EveryPairOfTheContract; the executor of that cloud is to come
//	S12       services/pipelinetest TestS12_AChangeBesideASuccess
//	S13       events/bus TestAppend_OneOfFiftyCreatorsWins
//	S14       services/requester/door/spanner TestRace_OneOfFiftyForADatabase, services/requester/door/spanner TestRace_FiftyDatabasesAtOnce
//	S15       services/pipelinetest TestS15_TwoInOneMillisecond
//	S16       tools/e2e TestServers_BackedUpProvenCheckedAndRestored, services/requester/door/native TestBackup_FromRequestToDeletion, services/provider-executors TestS16_RestoresLeaveTheBackupAsItIs
//	S17       services/status-tracker TestView_DroppedWhileRunningComesBack, services/status-tracker TestView_OfAnotherLogIsRebuilt
//	S18       services/status-tracker/janitor TestClean_LeavesWhatTheTableSays
//	S19       services/status-tracker/janitor TestClean_WhatIsAppendedMeanwhileStays
//	N1        events/bus TestSubjects_NamesStayOneToken
//	N2, N3    tools/backupbus/up TestNATS_OutsidersHaveTheirRightsOnly, events/bus TestRights_EachUserHasItsOwnAndNoMore
//	N4        events/bus TestRights_EachUserHasItsOwnAndNoMore
//	N5        services/status-tracker TestN5_AHandlerThatDiesEveryTime
//	N6        events/bus TestProgress_LastOneIsKept
//	N7        events/bus TestRights_PurgeOfTheLog, events/bus TestRights_EachUserHasItsOwnAndNoMore, tools/backupbus/up TestNATS_OutsidersHaveTheirRightsOnly
//	N8        events/bus TestSubjects_WildcardsOfTheContract
//	N9        services/status-tracker TestTracker_PutsBadEventsAmongTheDeadLetters
//	R1        services/requester/door/command TestR1_ACreateCommandIsDoneThenAccepted
//	R2        services/requester/door/command TestR2_TheSameCommandFiveTimesAtOnce
//	R3        services/requester/door/command TestR3_TheSameIDWithOtherContent
//	R4        services/requester/door/command TestR4_NoCloudEvent, services/requester/door/command TestR4_ThreeViolations
//	R5        services/requester/door/command TestR5_RepliesGoToTheProjectsOwnSubjects
//	R6        services/requester/door/command TestR6_ACommandPastItsExpiryStartsNothing
//	R7        services/requester/door/command TestR7_ABusyInstanceThenTheSameIDAgain
//	R8        services/requester/schedule TestTicks_ThatComeTwice_DecideOnce, services/requester/schedule TestReplicas_KilledAtRandom_DecideEachSlotOnce
//	R9        services/requester/door/command TestR9_OtherDoorsTellOfNoRequests
//	R10       services/requester/door/native TestCreate_TheSameKeyTwice
//	R11       services/requester/door/native TestPostCommand_Refusals
//	R12       services/requester/door/command TestR12_KilledBetweenTheTwoEvents
//	L1        services/requester/door/native TestStream_FromACursorOn, tools/compat TestStream_NodeEventSource
//	L2        services/requester/door/native TestStream_UnknownCursorStartsOver, services/requester/door/native TestStream_Heartbeat
//	L3        services/requester/door/native TestStream_DoesNotReadForAMinute, services/requester/door/native TestStream_ASlowClientCostsLittleAndMissesNothing
//	L4        services/requester/door/native TestStream_FilterAndProgress
//	L5        services/requester/door/native TestAccess_OfEveryOperation
//	L6        services/requester/door/native TestStream_SaysGoodbye, services/requester/door/native TestStream_GoesOnAtAnotherRequester
//	L7        services/requester/door/native TestPages_HoldEveryEventOnceInOrder, services/requester/door/native TestFeeds_TellOfHistoryThatIsNotWhole
//	W1        services/notifier/delivery TestSign_VectorsOfTheContract
//	W2, W3    services/notifier TestAPI_RotatesSecrets, services/notifier/delivery TestKeys_SignAsTheContractSays, tools/compat TestWebhooks_SDKReceivers
//	W4        services/notifier/delivery TestW4_FailsTwelveTimesAndDies
//	W5        services/notifier/delivery TestW5_RetryAfterPausesTheEndpoint
//	W6        services/notifier TestAPI_GoneThenEnabledThenReplayed
//	W7        services/notifier/sink TestPost_FollowsNothing
//	W8        services/notifier/sink TestParse, services/notifier TestAPI_RefusesWithThePlace
//	W9        services/notifier/sink TestPost_AddressIsJudgedWhenItIsDialled, services/notifier TestW9_NameThatIsReboundForAWhile
//	W10       services/notifier/sink TestPost_EndlessAnswers, services/notifier/sink TestPost_BodyThatHangs
//	W11       services/notifier/delivery TestW11_RatesHold, services/notifier/delivery TestBucket_AtMostTheRateInAnyMinute, services/notifier/sink TestAsk_Permission
//	W12       services/notifier/delivery TestW12_OrderedBySource
//	W13       services/notifier/delivery TestW13_CircuitOpensAndProbes
//	W14       services/notifier/delivery TestW14_FailingThenDisabled
//	W15       services/notifier/delivery TestW15_ReplayAfterEnabling
//	W16       services/notifier TestAPI_RefusesWithThePlace, events/filter TestMatch
//	W17       services/notifier/delivery TestW17_FilterErrorsAreCounted
//	W18       services/notifier TestW18_KilledWithAThousandPending
//	W19       services/notifier TestAPI_LifeOfASubscription
//	W20       services/notifier TestW20_EveryFaultAndEachEventOnce, services/notifier TestW20_ReceiversThatMisbehave
func TestConformance_EveryCaseHasItsTest(t *testing.T) {
	t.Parallel()
	here, err := os.ReadFile("conformance_test.go")
	if err != nil {
		t.Fatal(err)
	}
	table, _, _ := strings.Cut(string(here), "\nfunc ")
	named := map[string]bool{}
	sources := map[string]string{}
	for line := range strings.SplitSeq(table, "\n") {
		entry, ok := strings.CutPrefix(line, "//\t")
		if !ok {
			continue
		}
		cases, holders, ok := strings.Cut(entry, "  ")
		if holders = strings.TrimSpace(holders); !ok || holders == "" {
			t.Errorf("nobody holds %q", entry)
		}
		for _, c := range strings.Split(cases, ", ") {
			named[strings.TrimSpace(c)] = true
		}
		for _, h := range holder.FindAllStringSubmatch(holders, -1) {
			folder, test := h[1], h[2]
			if _, read := sources[folder]; !read {
				sources[folder] = doortest.Tests(t, filepath.Join("..", "..", folder))
			}
			if !strings.Contains(sources[folder], "\nfunc "+test+"(") {
				t.Errorf("%s: %s has no %s", cases, folder, test)
			}
		}
		if !strings.HasPrefix(holders, "nothing: ") && !holder.MatchString(holders) {
			t.Errorf("%s: %q names no test", cases, holders)
		}
	}
	for kind, most := range map[string]int{"E": 9, "S": 19, "N": 9, "R": 12, "L": 7, "W": 20} {
		for n := 1; n <= most; n++ {
			if c := kind + strconv.Itoa(n); !named[c] {
				t.Error(fmt.Sprint(c, " is in no line of the table"))
			}
		}
	}
}

var holder = regexp.MustCompile(`((?:events|services|tools)[\w/-]*) (Test\w+)`)
