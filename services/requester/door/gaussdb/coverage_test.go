package gaussdb_test

import (
	"testing"

	"github.com/backupbus/backupbus/services/requester/door/doortest"
)

// Where each row of gaussdb.md 8 and each case of 9 is held. `wire/x` is testdata/wire/x.txtar, which TestWire reads;
// `compat` are the tests of tools/compat, with the official client.
//
//	R1, R2, R3   TestAccess_Tokens
//	R4, R5, R7   TestSignature_AnyByteChanged, TestSignature_RefusalShowsNoToken, TestAnswers_HoldNoSecret; compat
//	R6           TestSignature_ClockWindow, TestSignature_OverHTTP
//	R8           TestAccess_KeyIsLockedAfterWrongSignatures
//	R9           TestAccess_Projects
//	R10          TestAccess_Projects, TestAccess_OpenDoor; wire/refusals, compat
//	R11, R12     TestRoutes_ArePathsAsTheyCome; wire/refusals
//	R13          TestBody_Bounds
//	R14          TestErrors_OfIntake
//	R15 - R20    TestCreate_Names; wire/refusals
//	R21          TestCreate_Names, TestPolicy_ShowsWhatWasSet, TestInstance_Detail
//	R22          TestCreate_OneAtATime, TestCreate_OneOfTwentyAtOnce, TestTerraform_LifeOfABackupResource; wire/backup
//	R23, R24     TestCreate_OfAnInstanceThatCannot, TestCreate_OfAnInstanceThatIsBusyOtherwise
//	R25, R26     TestList_Pages; wire/refusals
//	R27 - R29    TestList_Filters
//	R30          TestList_Pages
//	R31          TestDelete_IsGoneAtOnceAndBackIfItFails, TestAccess_Projects, TestDelete_ThatLostToAnotherOne
//	R32          TestDelete_IsGoneAtOnceAndBackIfItFails
//	R33          TestDelete_Automated, TestDelete_OfABackupThatIsHeld, TestDelete_HeldOrBeingRestored, TestDelete_ThatLostToAnotherOne
//	R34          TestDelete_Batch, TestPolicy_ShowsWhatWasSet, TestJob_OfEveryOutcome
//	R35          TestDelete_Batch, TestRestoreTime
//	R36 - R38    TestPolicy_ShowsWhatWasSet, TestPolicy_WindowThatStands; wire/policy
//	R39          TestPolicy_ShowsWhatWasSet, TestPolicy_Level1
//	R40          TestJob_OfEveryOutcome; compat
//	R41          TestAnswers_WhenTheBusOrTheViewIsAway, TestDelete_BatchThatFailsOrGoes, TestErrors_OfIntake
//	R42          TestProjects_LookUp
//
//	C1           TestBackup_FromRequestToCompletion; compat
//	C2           TestBackup_BothPrefixesAnswerTheSame; wire/failure
//	C3           TestSignature_Vectors
//	C4           TestSignature_AnyByteChanged
//	C5           TestSignature_ClockWindow
//	C6           TestSignature_AnyByteChanged; compat
//	C7           TestAccess_Tokens, TestRoutes_ArePathsAsTheyCome
//	C8           TestProjects_LookUp; compat
//	C9           TestAccess_OpenDoor; compat
//	C10          TestAccess_Projects; compat
//	C11          TestBackup_FromRequestToCompletion; compat
//	C12          TestList_ShowsWhatBecameOfEach, TestBackup_FromRequestToCompletion
//	C13          TestBackup_ThatFails; wire/failure
//	C14, C15     TestList_ShowsWhatBecameOfEach
//	C16 - C19    TestCreate_Names
//	C20          TestCreate_OneAtATime
//	C21, C22     TestList_Pages
//	C23          TestDelete_Automated
//	C24 - C26    TestList_Filters
//	C27          TestList_ShowsWhatBecameOfEach; wire/backup
//	C28, C29     TestDelete_IsGoneAtOnceAndBackIfItFails; wire/backup
//	C30          TestDelete_IsGoneAtOnceAndBackIfItFails, TestDelete_Automated, TestTerraform_LifeOfABackupResource
//	C31          TestDelete_Batch, TestDelete_BatchIsBounded
//	C32, C33     TestPolicy_ShowsWhatWasSet, TestPolicy_WrittenBackIsNoChange; wire/policy
//	C34          TestBackup_FromRequestToCompletion, TestJob_OfEveryOutcome, TestJob_ProgressNeverFalls; compat
//	C35          TestLanguage, TestErrors_HaveBothLanguages; wire/refusals
//	C36          TestAnswers_HaveAnIdAndAreJSON; refused, the helper of all these tests
//	C37          TestAnswers_WhenTheStoreOfTheViewIsAway, TestAnswers_WhenTheBusOrTheViewIsAway, TestErrors_OfIntake
//	C38          TestCreate_OneAtATime
func TestCoverage_NamesEveryRowAndTestsThatExist(t *testing.T) {
	t.Parallel()
	doortest.Covers(t, map[string]int{"R": 42, "C": 38})
}
