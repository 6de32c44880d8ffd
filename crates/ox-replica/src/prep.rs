//! Requests become transactions: every check that can fail is made here.
//!
//! Invariant: checks look at the tree plus everything proposed before, so a transaction that
//! leaves here applies without fail on every server. Source: `PrepRequestProcessor.java`;
//! client-protocol.md 4.3 to 4.7, 5.3 and chapter 10.

use std::sync::Arc;

use bytes::Bytes;
use ox_mutant::{Mutant, is_on};
use ox_proto::{
    Acl, CheckVersionRequest, CheckVersionTxn, CloseSessionTxn, Create, CreateContainerTxn,
    CreateMode, CreateTtlTxn, CreateTxn, DeleteRequest, DeleteTxn, EnsembleConfig, ErrorCode,
    ErrorTxn, Id, MultiOp, MultiTxn, OpCode, RawAcl, SessionId, SetAclRequest, SetAclTxn,
    SetDataRequest, SetDataTxn, StatPersisted, Txn, TxnDigest, Zxid, path,
};
use ox_tree::{CONTAINER_OWNER, DataTree, MAX_TTL, OwnerKind, TreeOptions, owner_kind, ttl_owner};

use crate::acl::{self, Verdicts};
use crate::auth::AuthSettings;
use crate::pending::{PendingNode, PendingView};
use crate::reaper::is_collectable;
use crate::settings::{ReaperSettings, Settings};

/// Makes transactions, and remembers what they will change.
#[derive(Debug)]
pub(crate) struct Prep {
    pending: PendingView,
    auth: AuthSettings,
    options: TreeOptions,
    enforce_quota: bool,
    close_session_lists: bool,
    max_record: usize,
    reaper: ReaperSettings,
    /// Everything for everybody.
    open: Arc<[Acl]>,
    /// Of the transaction in the making; what it has replaced is kept as long.
    verdicts: Verdicts,
}

/// One request's surroundings.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) tree: &'a DataTree,
    /// The zxid that the transaction will have.
    pub(crate) zxid: Zxid,
    /// Its time, in milliseconds since 1970.
    pub(crate) time: i64,
    pub(crate) session: SessionId,
    pub(crate) ids: &'a [Id],
    /// Whether the session may own ephemerals.
    pub(crate) ephemerals: Result<(), ErrorCode>,
}

impl Prep {
    /// More than the bytes of a closeSession record without its paths.
    const AROUND_PATHS: usize = 64;

    /// Starts from a tree on which nothing is pending.
    pub(crate) fn new(tree: &DataTree, hash_seed: u64, settings: &Settings) -> Self {
        Self {
            pending: PendingView::new(tree, hash_seed),
            auth: settings.auth.clone(),
            options: settings.tree,
            enforce_quota: settings.enforce_quota,
            close_session_lists: settings.close_session_lists,
            max_record: settings.max_record,
            reaper: settings.reaper,
            open: [Acl::world(Acl::ALL)].into(),
            verdicts: Verdicts::default(),
        }
    }

    /// Begins a transaction: [`roll_back`](Self::roll_back) returns to here.
    pub(crate) fn begin(&mut self) {
        self.pending.begin();
        self.verdicts.clear();
    }

    /// The transaction comes to nothing.
    pub(crate) fn roll_back(&mut self) {
        self.pending.roll_back();
    }

    /// The digest that goes with a transaction that was just made.
    pub(crate) fn digest(&self) -> Option<TxnDigest> {
        self.options.digest.then(|| TxnDigest {
            version: TxnDigest::VERSION,
            tree_digest: self.pending.digest(),
        })
    }

    /// The transaction `zxid` has been applied.
    pub(crate) fn applied(&mut self, zxid: Zxid) {
        self.pending.applied(zxid);
    }

    /// Makes a znode of any kind.
    pub(crate) fn create(&mut self, cx: Context<'_>, create: Create) -> Result<Txn, ErrorCode> {
        let mode = self.create_mode(&create)?;
        if mode.is_ephemeral() {
            cx.ephemerals?;
        }
        if !path::passes_quick_check(&create.path) {
            return Err(ErrorCode::BadArguments);
        }
        let acl = self.resolve_acl(cx, create.acl.as_deref())?;
        let mut parent = self.permitted(cx, path::parent(&create.path), Acl::CREATE)?;
        let path = match mode.is_sequential() {
            true if is_on(Mutant::T04) => format!("{}{:010}", create.path, parent.children),
            true => format!("{}{:010}", create.path, parent.stat.cversion),
            false => create.path,
        };
        if !path::is_valid(&path) {
            return Err(ErrorCode::BadArguments);
        }
        if self.pending.contains(cx.tree, &path) {
            return Err(ErrorCode::NodeExists);
        }
        if self.is_ephemeral(&parent.stat) {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        let data = create.data;
        self.check_quota(cx, &path, data.as_ref().map_or(0, Bytes::len), 0, 1)?;

        let ephemeral = mode.is_ephemeral() && create.op != OpCode::CreateContainer;
        let owner = match create.op {
            OpCode::CreateContainer => CONTAINER_OWNER,
            OpCode::CreateTtl => ttl_owner(create.ttl).ok_or(ErrorCode::BadArguments)?,
            _ if ephemeral => cx.session.0,
            _ => 0,
        };
        let mut node = PendingNode::new(created(cx, owner), self.shared_acl(&acl));
        node.set_data(cx.tree, &path, data.as_deref());
        parent.stat.cversion = parent.stat.cversion.wrapping_add(1);
        parent.stat.pzxid = cx.zxid.0;
        parent.children += 1;
        let parent_cversion = parent.stat.cversion;
        self.pending
            .change(cx.tree, cx.zxid, path::parent(&path), parent);
        self.pending.create(cx.zxid, &path, node);
        Ok(match create.op {
            OpCode::CreateContainer => Txn::CreateContainer(CreateContainerTxn {
                path,
                data,
                acl,
                parent_cversion,
            }),
            OpCode::CreateTtl => Txn::CreateTtl(CreateTtlTxn {
                path,
                data,
                acl,
                parent_cversion,
                ttl: create.ttl,
            }),
            OpCode::Create2 => Txn::Create2(CreateTxn {
                path,
                data,
                acl,
                ephemeral,
                parent_cversion,
            }),
            _ => Txn::Create(CreateTxn {
                path,
                data,
                acl,
                ephemeral,
                parent_cversion,
            }),
        })
    }

    /// The flags, if they go with the operation and the time to live.
    fn create_mode(&self, create: &Create) -> Result<CreateMode, ErrorCode> {
        let mode = CreateMode::from_flags(create.flags).ok_or(ErrorCode::BadArguments)?;
        if mode.is_ttl() && !self.options.extended_types {
            return Err(ErrorCode::Unimplemented);
        }
        let ttl_fits = match mode.is_ttl() {
            true => create.op == OpCode::CreateTtl && (1..=MAX_TTL).contains(&create.ttl),
            // A Java server accepts a createTTL without a time to live, and dies of it.
            false => create.op != OpCode::CreateTtl && create.ttl < 0,
        };
        if ttl_fits {
            Ok(mode)
        } else {
            Err(ErrorCode::BadArguments)
        }
    }

    /// Deletes a znode.
    pub(crate) fn delete(
        &mut self,
        cx: Context<'_>,
        request: DeleteRequest,
    ) -> Result<Txn, ErrorCode> {
        let path = request.path;
        check_deletable(&path)?;
        let parent = self.permitted(cx, path::parent(&path), Acl::DELETE)?;
        let node = self.existing(cx, &path)?;
        check_version(request.version, node.stat.version)?;
        if node.children > 0 {
            return Err(ErrorCode::NotEmpty);
        }
        self.remove(cx, &path, &node, parent);
        Ok(Txn::Delete(DeleteTxn { path }))
    }

    /// Deletes a container that is empty or a TTL node whose time is over, for the reaper. Its
    /// claim may be stale, so everything is looked at again.
    pub(crate) fn delete_container(&mut self, cx: Context<'_>, path: &str) -> Option<Txn> {
        let node = self.existing(cx, path).ok()?;
        let parent = self.existing(cx, path::parent(path)).ok()?;
        let (stat, children) = (&node.stat, node.children);
        let collectable = is_collectable(&self.reaper, &self.options, cx.time, stat, children);
        if !collectable || check_deletable(path).is_err() {
            return None;
        }
        self.remove(cx, path, &node, parent);
        Some(Txn::DeleteContainer(DeleteTxn {
            path: path.to_owned(),
        }))
    }

    fn remove(&mut self, cx: Context<'_>, path: &str, node: &PendingNode, mut parent: PendingNode) {
        parent.stat.pzxid = cx.zxid.0;
        parent.children -= 1;
        self.pending
            .change(cx.tree, cx.zxid, path::parent(path), parent);
        self.pending.delete(cx.zxid, path, node);
    }

    /// Replaces a znode's data.
    pub(crate) fn set_data(
        &mut self,
        cx: Context<'_>,
        request: SetDataRequest,
    ) -> Result<Txn, ErrorCode> {
        let SetDataRequest {
            path,
            data,
            version,
        } = request;
        check_path(&path)?;
        let mut node = self.permitted(cx, &path, Acl::WRITE)?;
        let length = data.as_ref().map_or(0, Bytes::len);
        self.check_quota(cx, &path, length, node.length, 0)?;
        let version = check_version(version, node.stat.version)? - i32::from(is_on(Mutant::T06));
        node.stat.version = version;
        node.stat.mzxid = cx.zxid.0;
        node.stat.mtime = cx.time;
        node.set_data(cx.tree, &path, data.as_deref());
        self.pending.change(cx.tree, cx.zxid, &path, node);
        Ok(Txn::SetData(SetDataTxn {
            path,
            data,
            version,
        }))
    }

    /// Replaces a znode's acl.
    pub(crate) fn set_acl(
        &mut self,
        cx: Context<'_>,
        request: SetAclRequest,
    ) -> Result<Txn, ErrorCode> {
        let SetAclRequest { path, acl, version } = request;
        check_path(&path)?;
        let acl = self.resolve_acl(cx, acl.as_deref())?;
        let mut node = self.permitted(cx, &path, Acl::ADMIN)?;
        let version = check_version(version, node.stat.aversion)?;
        node.stat.aversion = version;
        node.acl = self.shared_acl(&acl);
        self.pending.change(cx.tree, cx.zxid, &path, node);
        Ok(Txn::SetAcl(SetAclTxn { path, acl, version }))
    }

    /// Compares a version.
    pub(crate) fn check(
        &mut self,
        cx: Context<'_>,
        request: CheckVersionRequest,
    ) -> Result<Txn, ErrorCode> {
        let CheckVersionRequest { path, version } = request;
        check_path(&path)?;
        let node = self.permitted(cx, &path, Acl::READ)?;
        let version = check_version(version, node.stat.version)?;
        Ok(Txn::Check(CheckVersionTxn { path, version }))
    }

    /// Several operations, all or none. A failed multi stays a multi, with an error in the place
    /// of the operation that failed and of all behind it; but one that Java runs into an exception
    /// with fails whole, for Java looks for its own errors only.
    pub(crate) fn multi(&mut self, cx: Context<'_>, ops: Vec<MultiOp>) -> Result<Txn, ErrorCode> {
        let enforces = self.enforce_quota;
        self.enforce_quota &= !is_on(Mutant::Q01);
        let mut failed = false;
        let mut txns = Vec::with_capacity(ops.len());
        for op in ops {
            let outcome = match failed {
                true if is_on(Mutant::T03) => Err(ErrorCode::Ok),
                true => Err(ErrorCode::RuntimeInconsistency),
                false => self.multi_op(cx, op),
            };
            failed |= outcome.is_err();
            txns.push(outcome.unwrap_or_else(|error| Txn::Error(ErrorTxn { err: error.code() })));
        }
        if failed && !is_on(Mutant::T02) {
            self.pending.roll_back();
        }
        self.enforce_quota = enforces;
        let exception = Txn::Error(ErrorTxn {
            err: ErrorCode::MarshallingError.code(),
        });
        match txns.contains(&exception) {
            true => Err(ErrorCode::MarshallingError),
            false => Ok(Txn::Multi(MultiTxn { txns })),
        }
    }

    fn multi_op(&mut self, cx: Context<'_>, op: MultiOp) -> Result<Txn, ErrorCode> {
        match op {
            MultiOp::Create(create) => self.create(cx, create),
            MultiOp::Delete(request) => self.delete(cx, request),
            MultiOp::SetData(request) => self.set_data(cx, request),
            MultiOp::Check(request) => self.check(cx, request),
            MultiOp::GetData(_) | MultiOp::GetChildren(_) => Err(ErrorCode::MarshallingError),
        }
    }

    /// Changes the members, if the client may write what the tree shows of them.
    pub(crate) fn reconfig(
        &mut self,
        cx: Context<'_>,
        mut config: EnsembleConfig,
    ) -> Result<Txn, ErrorCode> {
        config.version = cx.zxid.0;
        let path = path::CONFIG.to_owned();
        let data = Bytes::from(config.to_string());
        let mut node = self.permitted(cx, &path, Acl::WRITE)?;
        node.stat.version = -1;
        node.stat.mzxid = cx.zxid.0;
        node.stat.mtime = cx.time;
        node.set_data(cx.tree, &path, Some(&data));
        self.pending.change(cx.tree, cx.zxid, &path, node);
        Ok(Txn::Reconfig(SetDataTxn {
            path,
            data: Some(data),
            version: -1,
        }))
    }

    /// Ends a session: deletes every ephemeral that it owns or is about to.
    pub(crate) fn close_session(&mut self, cx: Context<'_>) -> Txn {
        let paths = self.pending.ephemerals(cx.tree, cx.session);
        for path in &paths {
            let parent = self
                .existing(cx, path::parent(path))
                .expect("a znode has a parent");
            let node = self.existing(cx, path).expect("it is owned, so it exists");
            self.remove(cx, path, &node, parent);
        }
        // What the list leaves out every tree knows by itself. A list that is too long for a
        // record stops a Java server at its next start.
        let listed: usize = paths.iter().map(|path| 4 + path.len()).sum();
        let fits = listed.saturating_add(Self::AROUND_PATHS) <= self.max_record;
        let listed = if fits { paths } else { Vec::new() };
        Txn::CloseSession(CloseSessionTxn {
            paths_to_delete: self.close_session_lists.then_some(listed),
        })
    }

    /// The list for pending znodes to share; most of them have the open one.
    fn shared_acl(&self, acl: &[Acl]) -> Arc<[Acl]> {
        match *acl == *self.open {
            true => Arc::clone(&self.open),
            false => acl.into(),
        }
    }

    fn resolve_acl(&self, cx: Context<'_>, sent: Option<&[RawAcl]>) -> Result<Vec<Acl>, ErrorCode> {
        acl::resolve(&self.auth, sent, cx.ids, self.max_record)
    }

    fn existing(&self, cx: Context<'_>, path: &str) -> Result<PendingNode, ErrorCode> {
        self.pending.node(cx.tree, path).ok_or(ErrorCode::NoNode)
    }

    /// The znode, if the client may do `perm` to it.
    fn permitted(
        &mut self,
        cx: Context<'_>,
        path: &str,
        perm: i32,
    ) -> Result<PendingNode, ErrorCode> {
        let node = self.existing(cx, path)?;
        match self.verdicts.permits(&self.auth, &node.acl, perm, cx.ids) {
            true => Ok(node),
            false => Err(ErrorCode::NoAuth),
        }
    }

    fn is_ephemeral(&self, stat: &StatPersisted) -> bool {
        let kind = owner_kind(stat.ephemeral_owner, &self.options);
        matches!(kind, OwnerKind::Ephemeral(_))
    }

    /// Hard quotas, against what is committed.
    fn check_quota(
        &self,
        cx: Context<'_>,
        path: &str,
        length: usize,
        length_before: usize,
        count: i64,
    ) -> Result<(), ErrorCode> {
        if !self.enforce_quota {
            return Ok(());
        }
        let delta = length.cast_signed() - length_before.cast_signed();
        cx.tree
            .check_quota(path, i64::try_from(delta).unwrap_or(i64::MAX), count)
    }
}

fn created(cx: Context<'_>, ephemeral_owner: i64) -> StatPersisted {
    StatPersisted {
        czxid: cx.zxid.0,
        mzxid: cx.zxid.0,
        ctime: cx.time,
        mtime: cx.time,
        version: 0,
        cversion: 0,
        aversion: 0,
        ephemeral_owner,
        pzxid: cx.zxid.0,
    }
}

fn check_path(path: &str) -> Result<(), ErrorCode> {
    if path::is_valid(path) {
        Ok(())
    } else {
        Err(ErrorCode::BadArguments)
    }
}

fn check_deletable(path: &str) -> Result<(), ErrorCode> {
    match path::passes_quick_check(path) && !path::is_reserved(path) {
        true => Ok(()),
        false => Err(ErrorCode::BadArguments),
    }
}

/// The version after a change, if `expected` allows one; -1 allows any.
fn check_version(expected: i32, current: i32) -> Result<i32, ErrorCode> {
    match expected == -1 || expected == current || is_on(Mutant::T07) {
        true => Ok(current.wrapping_add(1)),
        false => Err(ErrorCode::BadVersion),
    }
}
