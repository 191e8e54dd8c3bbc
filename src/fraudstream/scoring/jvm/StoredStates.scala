package fraudstream.history

import java.util.{HashMap => JavaMap, UUID}

import org.apache.hadoop.fs.Path
import org.apache.spark.TaskContext
import org.apache.spark.sql.SparkSession
import org.apache.spark.sql.catalyst.expressions.{GenericInternalRow, UnsafeProjection, UnsafeRow}
import org.apache.spark.sql.classic
import org.apache.spark.sql.execution.streaming.state._
import org.apache.spark.sql.types._
import org.apache.spark.unsafe.types.UTF8String
import org.apache.spark.util.SerializableConfiguration

/** States in Spark's RocksDB state store, one for each of Kafka's partitions, written back when a task has succeeded.
 *
 *  A store's versions are numbered by themselves, not by batches: each has the offset that it continues at, so that a
 *  task takes the newest version that does not know its first record. A batch that is processed again after a crash
 *  thus starts from the same state, with other limits too, and a batch without records leaves no version. `base`
 *  counts the checkpoints that used the state: offsets of an earlier one are not compared, the newest version is taken.
 */
private[history] final class StoredStates(
    root: String, base: Long, conf: StateStoreConf, hadoop: SerializableConfiguration) extends States {
  import StoredStates._

  private val task = TaskContext.get()
  private val isStreaming = task.getLocalProperty("streaming.sql.batchId") != null
  private val key = UnsafeProjection.create(KeySchema)
  private val value = UnsafeProjection.create(ValueSchema)
  private val events = new JavaMap[String, Events]()
  private var store: StateStore = _
  private var partition = -1
  private var next = 0L
  private var bytes = 0L
  private var failed = false

  task.addTaskFailureListener((_, _) => failed = true)

  override def at(partition: Int, offset: Long): Unit = {
    if (partition != this.partition) {
      if (store != null) {
        if (isStreaming) throw new IllegalStateException(
          s"partition $partition in a task of partition ${this.partition}: history needs a task for each partition")
        commit()
      }
      this.partition = partition
      next = 0L
      store = open(offset)
      // The store has a listener too, which discards what is not committed: the one that was added last runs first.
      task.addTaskCompletionListener[Unit] { _ => if (store != null) { if (failed) store.abort() else commit() } }
    }
    next = math.max(next, offset + 1)
  }

  override def of(key: String): Events = {
    var found = events.get(key)
    if (found == null) {
      if (bytes > MostCachedBytes) flush()
      val row = store.get(rowOf(key), Family)
      found = if (row == null) Events.empty else Events.of(row.getBinary(0))
      events.put(key, found)
      bytes += found.size + BytesPerEntry
    }
    found
  }

  private def rowOf(key: String): UnsafeRow =
    this.key(new GenericInternalRow(Array[Any](if (key == null) null else UTF8String.fromString(key))))

  private def put(key: String, bytes: Array[Byte]): Unit =
    store.put(rowOf(key), value(new GenericInternalRow(Array[Any](bytes))), Family)

  private def flush(): Unit = {
    events.forEach((key, each) => if (each.isDirty) put(key, each.state))
    events.clear()
    bytes = 0L
  }

  private def commit(): Unit = {
    flush()
    put(null, Position(base, next).bytes)
    store.commit()
    store = null
  }

  /** Opens the newest version that ends before `offset`, or the newest of all if none does. */
  private def open(offset: Long): StateStore = {
    val id = StateStoreProviderId(StateStoreId(root, OperatorId, partition), RunId)
    def version(number: Long): StateStore = StateStore.get(
      id, KeySchema, ValueSchema, NoPrefixKeyStateEncoderSpec(KeySchema), number, None, None, false, conf, hadoop.value)
    val folder = new Path(new Path(root, OperatorId.toString), partition.toString)
    val files = folder.getFileSystem(hadoop.value)
    val byVersion = (if (files.exists(folder)) files.listStatus(folder).map(_.getPath).toSeq else Nil)
      .flatMap(path => VersionFile.findFirstMatchIn(path.getName).map(_.group(1).toLong -> path)).groupMap(_._1)(_._2)
    val versions = byVersion.keys.toSeq.sorted.reverse
    val candidates = if (versions.contains(1L)) versions :+ 0L else versions
    for (number <- candidates.take(MostCandidates)) {
      val opened = version(number)
      val position = if (number == 0L) Position(base, 0L) else Position.of(opened.get(rowOf(null), Family))
      if (position.base != base || position.next <= offset || offset < 0L) {
        // What a crashed batch has left would be taken for the state that this one continues.
        for (stale <- versions.filter(_ > number); path <- byVersion(stale)) files.delete(path, false)
        next = if (position.base == base) position.next else 0L
        return opened
      }
      opened.abort()
    }
    version(versions.headOption.getOrElse(0L))
  }
}

private[history] object StoredStates {
  private val OperatorId = 1L
  private val RunId = new UUID(0L, 0L)
  private val Family = StateStore.DEFAULT_COL_FAMILY_NAME
  private val VersionFile = "^([0-9]+)\\.(?:changelog|zip)$".r
  private val MostCandidates = 20
  private val MostCachedBytes = 32L << 20
  private val BytesPerEntry = 150
  private val KeySchema = StructType(Seq(StructField("key", StringType)))
  private val ValueSchema = StructType(Seq(StructField("events", BinaryType)))
  private val Settings = Map(
    "spark.sql.streaming.stateStore.providerClass" -> "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider",
    "spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled" -> "true",
    // Otherwise each put reads the key first.
    "spark.sql.streaming.stateStore.rocksdb.trackTotalNumberOfRows" -> "false")

  def at(session: SparkSession, root: String, base: Long): () => States = {
    // Its start registers the coordinator of the state stores, which a batch needs too.
    session.streams
    val state = session.asInstanceOf[classic.SparkSession].sessionState
    val conf = state.conf.clone()
    Settings.foreach { case (name, value) => conf.setConfString(name, value) }
    val stores = StateStoreConf(conf)
    val hadoop = new SerializableConfiguration(state.newHadoopConf())
    () => new StoredStates(root, base, stores, hadoop)
  }

  /** What a version says of itself, under the key null: format, base, and the offset that it continues at. */
  private case class Position(base: Long, next: Long) {
    def bytes: Array[Byte] = java.nio.ByteBuffer.allocate(24).putLong(Format).putLong(base).putLong(next).array
  }

  private object Position {
    def of(row: UnsafeRow): Position = {
      if (row == null) throw new IllegalStateException("a version of the history's state has no position")
      val bytes = java.nio.ByteBuffer.wrap(row.getBinary(0))
      val format = bytes.getLong
      if (format != Format) throw new IllegalStateException(s"the history's state has format $format, not $Format")
      Position(bytes.getLong, bytes.getLong)
    }
  }

  private val Format = 1L
}
