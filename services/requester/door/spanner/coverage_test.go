package spanner_test

import (
	"testing"

	"github.com/backupbus/backupbus/services/requester/door/doortest"
)

// Where each row of spanner.md (b) and each case of (c) is held. `compat` are the tests of tools/compat, with the
// official clients; `engines` those of each engine's cancel and failures, where the tool's process ends.
//
//	b1, b2       TestCreate_Ids
//	b3           TestCreate_Refusals
//	b4           TestUpdate_TheExpiry
//	b5, b6       TestCreate_Refusals; older than the retention period of the one database: its executor
//	b7           its executor: when a database was made is not known here
//	b8, b9       TestCreate_Refusals
//	b10, b11     TestCreate_Refusals
//	b12          TestCreate_NameThenLimit, TestRace_OneOfFiftyOfAName
//	b13          TestCreate_NameThenLimit, TestRace_OneOfFiftyForADatabase
//	b14          TestCreate_NameThenLimit, TestRace_FiftyDatabasesAtOnce
//	b15          TestCreate_WhileAScheduledOneIsMade, for provider spanner; an engine of one's own is asked for one at a time
//	b16 - b18    TestCreate_Refusals
//	b19          TestLife_OfABackup
//	b20          TestLife_FailureIsInTheOperation
//	b21          TestUpdate_TheExpiry
//	b22 - b25    TestUpdate_TheExpiry
//	b26          TestLife_DeleteHidesAtOnce
//	b27          TestRestore_HoldsItsBackup; at once: readers_test.go of intake
//	b28          TestCopy_HoldsItsSource; at once: readers_test.go of intake
//	b29          TestCancel_ByDeletion
//	b30          TestCopy_HoldsItsSource
//	b31, b32     TestCopy_Refusals
//	b33          TestCancel_IsSeenByTheNextRead
//	b34 - b36    TestCancel_OfWhatHasEnded
//	b37          TestOperations_WaitAndWhatIsNotThere
//	b38          as 4.8 allows it, it waits: TestOperations_WaitAndWhatIsNotThere
//	b39          TestOperations_WaitAndWhatIsNotThere
//	b40, b41     TestLists_NewestFirstInPages
//	b42          TestLists_FiltersOfOperations
//	b43          TestLists_MalformedFilters
//	b44          TestAccess_Tokens
//	b45, b46     TestAccess_Permissions
//	b47 - b50    TestREST_WhatCannotBeRead
//	b51          TestCreate_Refusals, TestREST_CreateInEverySpelling
//	b52          TestREST_PathsThatAreNotThere
//	b53          TestGRPC_WhatIsNotThere
//	b54          TestErrors_OfIntake; nothing limits calls yet
//	b55          TestPermissions_OfWhatIsThere, TestAccess_TestIamPermissionsTellsWhatIsHeld
//	b56          TestGRPC_WhatIsNotThere, TestREST_PathsThatAreNotThere, TestRestore_OfSpannerItselfIsNotThere
//	b57          TestLists_OperationsOfABackup
//	b58          TestLife_FailureIsInTheOperation, TestErrors_OfWork
//
//	c1 - c3      TestLife_OfABackup, TestEngine_OneDatabaseAlone
//	c4           TestLife_VersionTimeIsKept; an engine of one's own refuses any version_time: TestCreate_Refusals
//	c5, c6       TestLife_OfABackup; compat
//	c7           TestProgress_NeverGoesBack, TestProgress_IsFrozenByACancel, TestProgress_ThatCannotBeRead
//	c8 - c10     TestCreate_NameThenLimit, TestCreate_DatabasesOfAFileServer
//	c11          TestRace_OneOfFiftyForADatabase
//	c12          TestCreate_NameThenLimit
//	c13          TestCreate_Ids
//	c14 - c20    TestCreate_Refusals
//	a            "deletion failed": TestDelete_AfterOneFailedThroughAnotherDoor, TestDelete_WhileAnotherDoorDeletes
//	c21, c22     TestCancel_RacesTheEnd, TestCancel_WaitsFromItsBeginning, TestCancel_IsSeenByTheNextRead, TestCancel_BeforeItBegins, TestRace_CancelAndCreateTheSameId, TestEngine_CancelLeavesNothing; engines
//	c23          TestCancel_OfWhatHasEnded
//	c24          TestLife_FailureIsInTheOperation
//	c25, c26     TestLife_DeleteHidesAtOnce
//	c27          TestRestore_HoldsItsBackup
//	c28 - c30    TestUpdate_TheExpiry
//	c31, c32     TestLists_NewestFirstInPages, TestGather_WhileTheListGrows, TestLists_CostWhatTheyShow
//	c33, c34     TestLists_FiltersOfBackups
//	c35 - c37    TestLists_FiltersOfOperations
//	c38          TestLists_MalformedFilters
//	c39          TestTime_OperationsAreForgotten
//	c40          TestLists_OperationsOfABackup
//	c41          TestREST_CreateInEverySpelling
//	c42          TestREST_WhatAReadyBackupLooksLike, with 2^53 - 1: sizes end there, as the schemas of the events say
//	c43, c44     TestREST_CreateInEverySpelling
//	c45          TestREST_WhatCannotBeRead
//	c46          rest, the helper of all these tests; TestREST_PathsThatAreNotThere
//	c47          TestREST_WhatAReadyBackupLooksLike
//	c48          TestREST_WithoutAContentType
//	c49          TestPort_IsShared
//	c50          compat
//	c51          TestAccess_Tokens, TestAccess_Permissions
//	c52          TestPermissions_OfWhatIsThere, TestAccess_TestIamPermissionsTellsWhatIsHeld
//	c53, c54     TestCopy_HoldsItsSource, TestCopy_OutlivesItsSource, TestCopy_OfAProviderThatCannot
//	c55          TestGRPC_WhatIsNotThere, TestRestore_OfSpannerItselfIsNotThere
func TestCoverage_NamesEveryRowAndTestsThatExist(t *testing.T) {
	t.Parallel()
	doortest.Covers(t, map[string]int{"b": 58, "c": 55})
}
