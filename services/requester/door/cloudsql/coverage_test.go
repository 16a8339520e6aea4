package cloudsql_test

import (
	"testing"

	"github.com/backupbus/backupbus/services/requester/door/doortest"
)

// Where each row of cloudsql.md B and each case of C is held. `wire/x` is testdata/wire/x.txtar, which TestWire
// reads; `compat` are the tests of tools/compat, with the official clients.
//
//	B1, B2, B3   TestConformance_Refusals; wire/refusals, wire/lists
//	B4           TestConformance_Refusals; wire/input
//	B5           TestConformance_OneOperationAtATime, TestInsert_OneOfTwentyAtOnce; wire/input
//	B6           TestInstances_Refusals; wire/input
//	B7           TestStatuses_OfARunWhileAnotherIsMade
//	B8           TestConformance_OneOperationAtATime; wire/backups
//	B9           TestConformance_LifeOfARun, TestDelete_ThatLostToAnotherOne
//	B10          TestConformance_LifeOfARun, TestDelete_ThatLostToAnotherOne; wire/backups
//	B11          TestDelete_OfABackupThatIsHeld
//	B12, B14     TestInstances_Refusals; wire/instances
//	B13          TestInstances_Refusals, TestSettings_OfAnInstanceThatIsBetweenStates; wire/instances
//	B15          TestConformance_LifeOfARun
//	B16          TestConformance_BodyOfInsert
//	B17          TestLocations_OfABackup; wire/input
//	B18          TestInstances_Refusals
//	B19          TestConformance_Refusals, TestInput_WhatCannotBeReadIsRefusedAndNothingIsStored; wire/refusals
//	B20          TestConformance_FailureIsOnRunAndOperation; wire/failure
//	B21, B22     TestConformance_ListsAndPages; wire/lists
//	B23, B25     TestConformance_Refusals, TestConformance_ListsAndPages; wire/lists
//	B24          TestConformance_DeletedNeighboursRemain; wire/lists
//	B26, B27     TestConformance_Refusals, TestInput_SyntaxIsSaidFirstThenWhatIsNotThereThenWhatIsInTheWay; wire/input
//	B28, B29     TestOperations_CannotBeCancelled; wire/failure
//	B30, B31     TestAccess_Tokens
//	B32, B33     TestAccess_Permissions
//	B34          TestInstances_UpdateNeedsTheVersionThatStands; wire/settings
//	B35 - B39    TestInstances_Refusals, TestSettings_LogsOfTheEngine; wire/instances
//	B40          TestRateLimit_TheRequestOverItIsAcceptedAndFails
//	B41, B42     TestV1beta3_ReadsWhatTheScheduleMade; wire/input
//	B43          TestConformance_Refusals; wire/refusals
//	B44          TestConformance_BusDown
//	B45          TestOperations_AreForgotten
//	B46          TestOperations_OfAnInstanceThatIsGone
//	B47          TestStatuses_OfTheSchedule
//
//	C1 - C6      TestConformance_LifeOfARun; wire/run
//	C7           TestConformance_FailureIsOnRunAndOperation; wire/failure
//	C8           TestConformance_BodyOfInsert
//	C9           TestConformance_LifeOfARun
//	C10, C11     TestConformance_OneOperationAtATime
//	C12 - C14    TestConformance_Refusals
//	C15 - C18    TestConformance_ListsAndPages; compat
//	C19, C22     TestConformance_LifeOfARun; wire/run
//	C20          TestConformance_LifeOfARun, TestConformance_DeletedNeighboursRemain
//	C21          TestStatuses_OfADeletionThatFails
//	C23          TestConformance_Refusals
//	C24          TestConformance_ListsAndPages
//	C25          TestOperations_CannotBeCancelled
//	C26          TestVersions_DifferInTheirLinksOnly
//	C27          TestConformance_Refusals; wire/input
//	C28 - C30    compat
//	C31          TestInstances_UpdateNeedsTheVersionThatStands; compat
//	C32, C33     TestInstances_PatchChangesOnlyWhatItNames
//	C34 - C36    TestStatuses_OfTheSchedule for what is shown; when it comes about is tested with the schedule
//	C37          tested with the schedule's retention
//	C38          TestAccess_Tokens
//	C39          TestAccess_Permissions
//	C40          TestConformance_LateEventsChangeNothing
//	C41          TestConformance_RequesterRestart
//	C42          TestConformance_BusDown
//	C43, C44     TestV1beta3_ReadsWhatTheScheduleMade
//	C45          refused, the helper of all these tests
func TestCoverage_NamesEveryRowAndTestsThatExist(t *testing.T) {
	t.Parallel()
	doortest.Covers(t, map[string]int{"B": 47, "C": 45})
}
