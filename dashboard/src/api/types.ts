import type { components } from './schema.gen'

type Schemas = components['schemas']

export type Agent = Schemas['Agent']
export type Attempt = Schemas['Attempt']
export type AttemptStart = Schemas['Start']
export type AuditEntry = Schemas['AuditEntry']
export type BulkDryRun = Schemas['BulkDryRun']
export type BulkItem = Schemas['BulkItem']
export type BulkJob = Schemas['BulkJob']
export type Command = Schemas['Command']
export type Count = Schemas['Count']
export type CreatedAgentToken = Schemas['CreatedAgentToken']
export type Inquiry = Schemas['Inquiry']
export type Lost = Schemas['Lost']
export type NewBulkJob = Schemas['NewBulkJob']
/** Something that is wrong now. */
export type Problem = Schemas['FoundProblem']
/** Why something was not done. */
export type ProblemDocument = Schemas['Problem']
export type Queue = Schemas['Queue']
export type Schedule = Schemas['Schedule']
export type SchedulePreview = Schemas['SchedulePreview']
export type ScheduleProblem = Schemas['ScheduleProblem']
export type ScheduleRun = Schemas['ScheduleRun']
export type Scheduler = Schemas['Scheduler']
export type Session = Schemas['Session']
export type StatsPoint = Schemas['StatsPoint']
export type Storage = Schemas['Storage']
export type Task = Schemas['Task']
export type TaskCounts = Schemas['TaskCounts']
export type TaskDetail = Schemas['TaskDetail']
export type TaskEvent = Schemas['TaskEvent']
export type TaskPage = Schemas['TaskPage']
export type TaskTree = Schemas['TaskTree']
export type TaskType = Schemas['TaskType']
export type TimelineEntry = Schemas['TimelineEntry']
export type TreeEdge = Schemas['TreeEdge']
export type Why = Schemas['Why']
export type WhyReason = Schemas['WhyReason']
export type Worker = Schemas['Worker']
export type TaskState = Task['state']

/** What selects tasks: the same set for a list and for its counts. */
export interface TaskFilter {
  q?: string
  state?: string
  since?: string
  until?: string
}
